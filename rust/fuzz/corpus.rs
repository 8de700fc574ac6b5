//! Writes the seeds of every target into its corpus folder, for `cargo fuzz` to start from.

#[path = "bodies/mod.rs"]
#[allow(dead_code, unused_imports)]
mod bodies;

fn main() -> std::io::Result<()> {
    for target in bodies::TARGETS {
        let folder = std::path::Path::new("corpus").join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in bodies::seeds::of(target.name).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
