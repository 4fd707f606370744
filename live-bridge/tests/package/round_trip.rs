//! What should work.

use crate::world::{World, example, files};
use slacktide_live_bridge::package::{Limits, Manifest, ScriptKind, archive};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn a_folder_arrives_as_it_was() {
    let world = World::new();
    let archive = world.path("greeting.stp");
    let built = archive::build(&example(), &archive).unwrap();
    world.publish(std::slice::from_ref(&archive));
    let device = world.device("device");
    let checked = world.check(&device).unwrap();
    let release = checked.release("greeting", "1.1".parse().unwrap()).unwrap();
    assert_eq!(release.manifest, built);
    assert!(release.target.file.starts_with("targets/") && release.target.file.ends_with(".greeting-1.1.stp"));
    let slot = world.path("slot");
    release.unpack(&world.archive_of(release), &slot, &Limits::default()).unwrap();
    assert_eq!(files(&slot), ["bin", "bin/greet", "health.sh", "install.sh", "package.toml", "precheck.sh"]);
    for file in &built.files {
        let (there, here) =
            (std::fs::read(slot.join(&file.path)).unwrap(), std::fs::read(example().join(&file.path)).unwrap());
        assert_eq!(there, here, "{}", file.path);
        assert_eq!(std::fs::metadata(slot.join(&file.path)).unwrap().permissions().mode() & 0o7777, 0o755);
    }
    let again = Manifest::parse("package.toml", &std::fs::read_to_string(slot.join("package.toml")).unwrap()).unwrap();
    assert_eq!(again, built);
    assert_eq!(again.scripts[&ScriptKind::Health].time_limit.as_millis(), 30_000);
    let engine = release.to_engine();
    assert_eq!(
        (engine.size_bytes, engine.compatible.to_string()),
        (release.target.size_bytes, "version >= 1.0".to_owned())
    );
    // A folder in use is not unpacked over.
    let error = release.unpack(&world.archive_of(release), &slot, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("is not an empty folder"), "{error}");
}
