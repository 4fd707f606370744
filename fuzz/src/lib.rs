//! The bodies that every test run uses, for libFuzzer.

#[path = "../../scenarios/tests/files/bodies.rs"]
mod bodies;
#[path = "../../live-bridge/tests/controller/wire_body.rs"]
mod wire_body;
#[allow(dead_code)]
#[path = "../../live-bridge/tests/controller/world.rs"]
mod world;

use std::path::PathBuf;
use std::sync::OnceLock;

/// Hands `bytes` to the body of this name.
///
/// # Panics
/// When the body does, which is what is looked for; or there is none of this name.
pub fn run(name: &str, bytes: &[u8]) {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        // A folder a process: several jobs may run at once.
        let folder = std::env::temp_dir().join(format!("slacktide-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        folder
    });
    let of_devices: (&str, bodies::Body) = ("device_call", wire_body::device_call);
    let (_, body) = bodies::ALL.iter().chain([&of_devices]).find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no body `{name}`"));
    body(bytes, folder);
}
