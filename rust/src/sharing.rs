//! Who else may use what is written into a repository (`core.sharedRepository` of `git-config`).
//!
//! In: what the configuration says, as the caller reads it. Out: the mode of each file and folder
//! that is made, whatever the process's umask. Files that only are to be read stay so.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A folder's files get its group.
const SET_GROUP: u32 = 0o2000;

/// Whom a repository is shared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Those whom the umask lets in.
    #[default]
    Umask,
    /// These, beside those whom the umask lets in.
    Also(u32),
    /// These, and nobody else.
    Exactly(u32),
}

impl Sharing {
    /// From one number: 0 for the umask, a mode to be added, or, below 0, the only mode.
    pub fn from_code(code: i32) -> Self {
        let bits = code.unsigned_abs() & 0o666;
        match code {
            0 => Self::Umask,
            1.. => Self::Also(bits),
            _ => Self::Exactly(bits),
        }
    }

    /// The same number.
    pub fn code(self) -> i32 {
        // modes have nine bits
        match self {
            Self::Umask => 0,
            Self::Also(bits) => bits as i32,
            Self::Exactly(bits) => -(bits as i32),
        }
    }

    /// The mode for what has been made with this one.
    fn mode(self, made: u32, is_folder: bool) -> u32 {
        let (Self::Also(mut bits) | Self::Exactly(mut bits)) = self else { return made };
        if made & 0o200 == 0 {
            bits &= !0o222;
        }
        if made & 0o100 != 0 {
            bits |= (bits & 0o444) >> 2;
        }
        let mut mode = match self {
            Self::Exactly(_) => made & !0o777 | bits,
            _ => made | bits,
        };
        if is_folder {
            // whoever may read a folder may enter it, and its group's stays its group's
            mode |= (mode & 0o444) >> 2;
            if mode & 0o060 != 0 {
                mode |= SET_GROUP;
            }
        }
        mode
    }

    /// Shares a file that has just been made.
    pub fn share_file(self, file: &File) -> io::Result<()> {
        if self == Self::Umask {
            return Ok(());
        }
        let made = file.metadata()?.permissions().mode() & 0o7777;
        let mode = self.mode(made, false);
        if mode == made { Ok(()) } else { file.set_permissions(Permissions::from_mode(mode)) }
    }

    /// Shares a file or folder that has just been made.
    pub fn share(self, path: &Path) -> io::Result<()> {
        if self == Self::Umask {
            return Ok(());
        }
        let meta = fs::symlink_metadata(path)?;
        let made = meta.permissions().mode() & 0o7777;
        let mode = self.mode(made, meta.is_dir());
        if mode == made || meta.is_symlink() {
            return Ok(());
        }
        fs::set_permissions(path, Permissions::from_mode(mode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gits() {
        // (what is configured, file made with, folder made with): as git makes them
        for (code, file, packed, folder) in [
            (0, 0o640, 0o440, 0o750),
            (0o660, 0o660, 0o440, 0o2770),
            (0o664, 0o664, 0o444, 0o2775),
            (-0o640, 0o640, 0o440, 0o2750),
            (-0o600, 0o600, 0o400, 0o700),
            (-0o660, 0o660, 0o440, 0o2770),
        ] {
            let sharing = Sharing::from_code(code);
            assert_eq!(sharing.code(), code);
            assert_eq!(sharing.mode(0o640, false), file, "{code:o}");
            assert_eq!(sharing.mode(0o440, false), packed, "{code:o}");
            assert_eq!(sharing.mode(0o750, true), folder, "{code:o}");
        }
    }

    #[test]
    fn what_is_made_is_shared() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("file"), dir.path().join("folder"));
        let made = File::create(&file).unwrap();
        fs::create_dir(&folder).unwrap();
        Sharing::Exactly(0o640).share_file(&made).unwrap();
        Sharing::Exactly(0o640).share(&folder).unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&file), mode(&folder)), (0o640, 0o2750));
        Sharing::Also(0o664).share(&file).unwrap();
        assert_eq!(mode(&file), 0o664);
    }
}
