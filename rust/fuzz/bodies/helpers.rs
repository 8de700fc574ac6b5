//! Files that only say again what packs say, and are believed or not: bitmaps and commit-graphs.

use std::sync::OnceLock;

use _core::commitgraph::CommitGraphs;
use _core::graph::{WalkRequest, enumerate};
use _core::hash::HashKind;
use _core::source::ObjectSource;
use _core::store::Store;
use _core::watch::Watch;

use super::files::{with_folder, with_trailer};
use super::packs::objects_folder;
use super::seeds::{self, Helped};

fn good() -> &'static Helped {
    static GOOD: OnceLock<Helped> = OnceLock::new();
    GOOD.get_or_init(seeds::helped)
}

/// Where the bitmap's header has the checksum of its pack.
const OF_PACK: std::ops::Range<usize> = 12..32;

/// A reachability bitmap beside its pack: every one of its commits, then a clone that may use it. It
/// names its pack, but for every fourth input.
pub fn bitmap(data: &[u8]) {
    let good = good();
    let mut data = data.to_vec();
    if data.len() >= OF_PACK.end && !data.len().is_multiple_of(4) {
        data[OF_PACK].copy_from_slice(&good.pack[good.pack.len() - OF_PACK.len()..]);
    }
    with_folder("bitmap", |folder| {
        let objects = objects_folder(folder);
        let write = |suffix: &str, content: &[u8]| {
            std::fs::write(objects.join("pack/pack-1").with_extension(suffix), content)
                .expect("temporary files can be written");
        };
        write("pack", &good.pack);
        write("idx", &good.index);
        write("bitmap", &with_trailer(&data, HashKind::Sha1));
        let Ok(store) = Store::open(&objects, HashKind::Sha1, &[]) else { return };
        let Ok(snapshot) = store.snapshot() else { return };
        if let Some(reach) = snapshot.reachability() {
            for number in reach.commits() {
                let _ = reach.commit(number);
            }
        }
        let wants = good.commits[..1].to_vec();
        let haves = good.commits[5..6].to_vec();
        for haves in [Vec::new(), haves] {
            let request =
                WalkRequest { wants: wants.clone(), haves, threads: 1, ..WalkRequest::default() };
            let _ = enumerate(&*snapshot, snapshot.commits(), &request, &Watch::new());
        }
    });
}

/// A commit-graph: what it says of every commit that there is.
pub fn commit_graph(data: &[u8]) {
    with_folder("graph", |folder| {
        let objects = objects_folder(folder);
        let info = objects.join("info");
        std::fs::create_dir(&info).expect("temporary folders can be made");
        std::fs::write(info.join("commit-graph"), with_trailer(data, HashKind::Sha1))
            .expect("temporary files can be written");
        let mut warnings = Vec::new();
        let graphs = CommitGraphs::open(&[objects], HashKind::Sha1, &mut warnings);
        let _ = (graphs.len(), graphs.filter_version());
        for id in &good().commits {
            let _ = (graphs.find(id), graphs.filter(id));
        }
    });
}
