//! Archives that somebody with the signing keys, or with a mistake in their tools, could make: refused, and nothing left behind.

use crate::world::{World, unpack_refused, wait};
use sha2::{Digest as _, Sha256};
use slacktide_live_bridge::package::{Limits, Refusal, Release, archive};
use std::io::Write as _;
use std::path::PathBuf;
use tar::{EntryType, Header};

/// A release of one file `data` (after `install.sh`), whose archive can be replaced as if it had been signed.
pub(crate) struct Forge {
    pub(crate) world: World,
    pub(crate) release: Release,
}

impl Forge {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let archive = world.build("os", "1.0", b"content");
        world.publish(&[archive]);
        let release = wait(world.repository().release("os", "1.0".parse().unwrap())).unwrap();
        Self { world, release }
    }

    /// The tar inside the honest archive.
    pub(crate) fn tar(&self) -> Vec<u8> {
        zstd::decode_all(&std::fs::read(self.world.archive_of(&self.release)).unwrap()[..]).unwrap()
    }

    /// `bytes` as the signed archive.
    pub(crate) fn sign(&self, bytes: &[u8]) -> (Release, PathBuf) {
        let path = self.world.path("forged.stp");
        std::fs::write(&path, bytes).unwrap();
        let mut release = self.release.clone();
        release.target.size_bytes = bytes.len() as u64;
        release.target.sha256 = Sha256::digest(bytes).into();
        (release, path)
    }

    fn refused(&self, bytes: &[u8]) -> Refusal {
        let (release, path) = self.sign(bytes);
        unpack_refused(&release, &path, &Limits::default())
    }

    /// The honest archive with what `change` makes of the header and content of `data`.
    fn with(&self, change: impl FnOnce(&mut Header, &mut Vec<u8>)) -> Refusal {
        let tar = self.tar();
        let at = self.data_at();
        let mut header = Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&tar[at..at + 512]);
        let mut content = b"content".to_vec();
        change(&mut header, &mut content);
        header.set_cksum();
        content.resize(content.len().next_multiple_of(512), 0);
        let changed = [&tar[..at], header.as_bytes(), &content, &[0; 1024]].concat();
        self.refused(&pack(&changed))
    }

    fn data_at(&self) -> usize {
        // package.toml's header and content come first.
        512 + self.release.manifest.text().len().next_multiple_of(512)
    }
}

pub(crate) fn pack(tar: &[u8]) -> Vec<u8> {
    zstd::encode_all(tar, 3).unwrap()
}

fn name(header: &mut Header, name: &[u8]) {
    let field = &mut header.as_mut_bytes()[..100];
    field.fill(0);
    field[..name.len()].copy_from_slice(name);
}

#[test]
fn the_forge_itself_is_sound() {
    let forge = Forge::new();
    let (release, path) = forge.sign(&pack(&forge.tar()));
    release.unpack(&path, &forge.world.path("slot"), &Limits::default()).unwrap();
    assert_eq!(std::fs::read(forge.world.path("slot/data")).unwrap(), b"content");
}

#[test]
fn paths_that_lead_out_are_refused() {
    let forge = Forge::new();
    for (path, problem) in [
        (&b"../evil"[..], "`..`"),
        (b"a/../../evil", "`..`"),
        (b"/etc/evil", "absolute"),
        (b"a\\..\\evil", "backslash"),
        (b"./data", "`.`"),
        (b"a//b", "empty part"),
        (b"bell\x07", "control"),
        (b"\xff\xfe", "UTF-8"),
        (b"", "empty"),
        (b"Package.TOML", "manifest's own"),
    ] {
        let refusal = forge.with(|header, _| name(header, path));
        assert!(
            matches!(refusal, Refusal::Path { .. }) && refusal.to_string().contains(problem),
            "{path:?}: {refusal}"
        );
    }
    // Readers that stop at the NUL and readers that do not would see two different names.
    let refusal = forge.with(|header, _| name(header, b"data\0/../../evil"));
    assert_eq!(refusal.name(), "differs", "{refusal}");
    let refusal = forge.with(|header, _| header.as_ustar_mut().unwrap().prefix[..2].copy_from_slice(b".."));
    assert_eq!(refusal.name(), "path", "{refusal}");
}

#[test]
fn everything_but_plain_files_is_refused() {
    let forge = Forge::new();
    for (kind, name) in [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "pipe"),
        (EntryType::Directory, "folder"),
        (EntryType::GNULongName, "extended header"),
        (EntryType::GNULongLink, "extended header"),
        (EntryType::XHeader, "extended header"),
        (EntryType::XGlobalHeader, "extended header"),
        (EntryType::GNUSparse, "unknown kind"),
        (EntryType::Continuous, "unknown kind"),
    ] {
        let refusal = forge.with(|header, _| {
            header.set_entry_type(kind);
            header.set_link_name("/etc/passwd").unwrap();
        });
        assert!(matches!(refusal, Refusal::Kind { .. }) && refusal.to_string().contains(name), "{kind:?}: {refusal}");
    }
    for mode in [0o4755, 0o2755, 0o1777] {
        let refusal = forge.with(|header, _| header.set_mode(mode));
        assert_eq!(refusal, Refusal::Mode { path: "data".to_owned(), mode });
    }
    // Rights, owners and times that the manifest does not ask for.
    for change in
        [|h: &mut Header| h.set_mode(0o755), |h: &mut Header| h.set_uid(1000), |h: &mut Header| h.set_mtime(1)]
    {
        assert_eq!(forge.with(|header, _| change(header)).name(), "differs");
    }
}

#[test]
fn files_twice_missing_or_too_many_are_refused() {
    let forge = Forge::new();
    let tar = forge.tar();
    let at = forge.data_at();
    let data = &tar[at..at + 1024];
    let install = &tar[at + 1024..at + 2048];
    let put = |entries: &[&[u8]]| forge.refused(&pack(&[&tar[..at], &entries.concat(), &[0; 1024]].concat()));
    assert_eq!(put(&[data, data]), Refusal::Twice { path: "data".to_owned() });
    assert_eq!(put(&[data, install, install]), Refusal::Twice { path: "install.sh".to_owned() });
    assert!(put(&[data]).to_string().contains("\"install.sh\": it is missing"));
    assert!(put(&[install, data]).to_string().contains("the manifest has \"data\" here"));
    let renamed = |new: &[u8]| {
        let mut header = Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&data[..512]);
        name(&mut header, new);
        header.set_cksum();
        [header.as_bytes(), &data[512..]].concat()
    };
    assert_eq!(put(&[data, &renamed(b"DATA"), install]), Refusal::Twice { path: "DATA".to_owned() });
    assert!(put(&[data, install, &renamed(b"zzz")]).to_string().contains("no further file"));
    assert!(forge.with(|header, _| name(header, b"Data")).to_string().contains("the manifest has \"data\" here"));
}

#[test]
fn what_is_larger_than_it_says_is_refused() {
    let forge = Forge::new();
    // Said small, being large; said large; other content of the same size.
    assert!(matches!(
        forge.with(|_, content| content.resize(5000, 7)).name(),
        "differs" | "damaged" | "path" | "kind" | "mode"
    ));
    assert!(forge.with(|header, _| header.set_size(1 << 40)).to_string().contains("its size is 1099511627776, not 7"));
    assert!(forge.with(|_, content| content[0] ^= 1).to_string().contains("its hash is"));
    assert!(
        forge.with(|_, content| content.extend(b"hidden")).to_string().contains("something is hidden behind \"data\"")
    );
    // A manifest that is a bomb of its own.
    let mut tar = forge.tar();
    let mut header = Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(&tar[..512]);
    header.set_size(1 << 33);
    header.set_cksum();
    tar[..512].copy_from_slice(header.as_bytes());
    assert!(matches!(forge.refused(&pack(&tar)), Refusal::TooMuch { found: 0x2_0000_0000, .. }));
}

#[test]
fn bombs_are_refused_before_anything_is_written() {
    let world = World::new();
    let bomb = world.build("bomb", "1.0", &vec![0; 64 << 20]);
    let packed = std::fs::metadata(&bomb).unwrap().len();
    assert!(packed < 10_000, "{packed}");
    world.publish(&[bomb]);
    let release = wait(world.repository().release("bomb", "1.0".parse().unwrap())).unwrap();
    let archive = world.archive_of(&release);
    let default = Limits::default();
    let small = Limits { unpacked_bytes_max: 1 << 20, ..default };
    let refusal = unpack_refused(&release, &archive, &small);
    assert_eq!(refusal, Refusal::TooMuch { what: "bytes of files", found: (64 << 20) + 10, max: 1 << 20 });
    let refusal = unpack_refused(&release, &archive, &Limits { files_max: 1, ..default });
    assert_eq!(refusal, Refusal::TooMuch { what: "files", found: 2, max: 1 });
    let refusal = unpack_refused(&release, &archive, &Limits { archive_bytes_max: 100, ..default });
    assert_eq!(refusal, Refusal::TooMuch { what: "bytes of the archive", found: packed, max: 100 });
    // A stranger's archive is looked at under the same limits.
    let error = archive::inspect(&archive, &small).unwrap_err();
    assert_eq!(error.refusal().unwrap().name(), "too-much");
}

#[test]
fn frames_that_want_much_memory_or_hide_more_are_refused() {
    let forge = Forge::new();
    let mut wide = zstd::Encoder::new(Vec::new(), 3).unwrap();
    wide.window_log(27).unwrap();
    wide.write_all(&forge.tar()).unwrap();
    let refusal = forge.refused(&wide.finish().unwrap());
    assert!(matches!(&refusal, Refusal::Damaged { problem } if problem.contains("memory")), "{refusal}");
    let honest = pack(&forge.tar());
    let more = "there is more after its end";
    for behind in [&b"x"[..], &pack(b"another frame"), &[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7]] {
        let refusal = forge.refused(&[&honest, behind].concat());
        assert!(refusal.to_string().contains(more), "{refusal}");
    }
    let refusal = forge.refused(&pack(&[forge.tar(), vec![0; 512]].concat()));
    assert!(refusal.to_string().contains(more), "{refusal}");
    // Packed twice is not an archive, nor is anything else.
    assert_eq!(forge.refused(&pack(&honest)).name(), "truncated");
    for other in [&b""[..], b"x", &[0; 4096], &forge.tar()] {
        assert!(matches!(forge.refused(other).name(), "damaged" | "truncated"), "{:?}", forge.refused(other));
    }
}

#[test]
fn an_archive_cut_short_is_refused_wherever_it_ends() {
    let forge = Forge::new();
    let (tar, honest) = (forge.tar(), std::fs::read(forge.world.archive_of(&forge.release)).unwrap());
    for end in (0..tar.len()).step_by(211) {
        let refusal = forge.refused(&pack(&tar[..end]));
        assert_eq!(refusal.name(), "truncated", "{end}: {refusal}");
    }
    for end in (0..honest.len()).step_by(5) {
        let refusal = forge.refused(&honest[..end]);
        assert!(matches!(refusal.name(), "truncated" | "damaged"), "{end}: {refusal}");
    }
    // Not signed anew: its size tells.
    let path = forge.world.path("cut.stp");
    std::fs::write(&path, &honest[..honest.len() - 1]).unwrap();
    assert_eq!(unpack_refused(&forge.release, &path, &Limits::default()).name(), "not-signed");
}

#[test]
fn one_flipped_bit_of_an_archive_is_refused() {
    let forge = Forge::new();
    let honest = std::fs::read(forge.world.archive_of(&forge.release)).unwrap();
    let path = forge.world.path("flipped.stp");
    for at in (0..honest.len()).step_by(3) {
        let mut flipped = honest.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, flipped).unwrap();
        assert_eq!(unpack_refused(&forge.release, &path, &Limits::default()).name(), "not-signed");
    }
}

#[test]
fn what_stands_in_the_way_is_left_alone() {
    let forge = Forge::new();
    let (world, archive) = (&forge.world, forge.world.archive_of(&forge.release));
    std::fs::create_dir(world.path("victim")).unwrap();
    std::fs::write(world.path("victim/file"), b"mine").unwrap();
    std::os::unix::fs::symlink(world.path("victim"), world.path("link")).unwrap();
    std::fs::write(world.path("file"), b"mine").unwrap();
    for into in ["link", "file", "victim"] {
        let error = forge.release.unpack(&archive, &world.path(into), &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("is not an empty folder"), "{into}: {error}");
    }
    // A link planted where files are written first is removed, not followed.
    std::os::unix::fs::symlink(world.path("victim"), world.path("slot.unpacking")).unwrap();
    forge.release.unpack(&archive, &world.path("slot"), &Limits::default()).unwrap();
    assert_eq!(crate::world::files(&world.path("victim")), ["file"]);
    assert_eq!(std::fs::read(world.path("victim/file")).unwrap(), b"mine");
    // What a loss of power left behind is cleared.
    std::fs::create_dir(world.path("next.unpacking")).unwrap();
    std::fs::write(world.path("next.unpacking/data"), b"half").unwrap();
    forge.release.unpack(&archive, &world.path("next"), &Limits::default()).unwrap();
    assert!(!world.path("next.unpacking").exists());
}
