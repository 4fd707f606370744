//! Mistakes in `package.toml` and in the folder beside it: file, line, field, value and what would be right.

use slacktide_live_bridge::package::{FileEntry, Manifest, archive};
use std::os::unix::fs::symlink;

const GOOD: &str = "name = \"os\"\nversion = \"2.0\"\n[scripts]\ninstall = \"install.sh\"\n";

fn entry(path: &str) -> String {
    format!("[[files]]\npath = \"{path}\"\nsha256 = \"{}\"\nsize_bytes = 3\nmode = \"755\"\n", "0a".repeat(32))
}

fn said(text: &str) -> String {
    Manifest::parse("package.toml", text).unwrap_err().to_string()
}

#[test]
fn the_good_one_is_good() {
    let manifest = Manifest::parse("package.toml", &format!("{GOOD}{}", entry("install.sh"))).unwrap();
    assert_eq!((manifest.archive_name().as_str(), manifest.files.len()), ("os-2.0.stp", 1));
}

#[test]
fn every_bad_field_is_named_with_its_range() {
    let whole = format!("{GOOD}{}", entry("install.sh"));
    let long = "a".repeat(65);
    for (from, to, expected) in [
        ("name = \"os\"", "name = \"\"", "package.toml:1: field `name`: must be 1 to 64 letters"),
        ("name = \"os\"", "name = \"../os\"", "package.toml:1: field `name`: value `../os`: must be 1 to 64 letters"),
        ("name = \"os\"", &format!("name = \"{long}\""), "must be 1 to 64 letters"),
        ("name = \"os\"\n", "", "package.toml: field `name`: is missing; write name = \"firmware\""),
        ("name = \"os\"", "naem = \"os\"", "package.toml:1: field `naem`: there is no such key; did you mean `name`?"),
        ("\"2.0\"", "\"2.x\"", "package.toml:2: field `version`: value `2.x`: must be a version in quotation marks"),
        (
            "\"2.0\"\n",
            "\"2.0\"\nrequirement = -1\n",
            "package.toml:3: field `requirement`: value `-1`: must be a number in 0..=1000000000",
        ),
        ("\"2.0\"\n", "\"2.0\"\nrequirement = nan\n", "field `requirement`: value `NaN`: must be a number in 0..="),
        ("\"2.0\"\n", "\"2.0\"\ntarget = 'version <'\n", "package.toml:3: field `target`: value `version <`"),
        ("\"2.0\"\n", "\"2.0\"\ncompatible = 'colour == \"red\"'\n", "package.toml:3: field `compatible`"),
        (
            "install = \"install.sh\"\n",
            "",
            "field `scripts.install`: is missing; write install = \"install.sh\" in [scripts]",
        ),
        (
            "install = \"install.sh\"",
            "install = \"instal.sh\"",
            "package.toml:4: field `scripts.install`: value `instal.sh`: the package has no such file; did you mean `install.sh`?",
        ),
        (
            "[[files]]",
            "[time_limits]\ninstall = \"25h\"\n[[files]]",
            "package.toml:6: field `time_limits.install`: value `25h`: must be a time from 1s to 1d",
        ),
        (
            "[[files]]",
            "[time_limits]\ninstall = \"soon\"\n[[files]]",
            "field `time_limits.install`: value `soon`: must be a time such as",
        ),
        (
            "[[files]]",
            "[time_limits]\nhealth = \"1m\"\n[[files]]",
            "field `time_limits.health`: value `1m`: there is no script `scripts.health` to limit",
        ),
        (
            "[[files]]",
            "[[stones]]\nversion = \"1.0\"\n[[files]]",
            "field `stones[0].size`: is missing; write size = \"200 MB\"",
        ),
        (
            "path = \"install.sh\"",
            "path = \"../x\"",
            "package.toml:6: field `files[0].path`: value `../x`: leads out of the package",
        ),
        ("path = \"install.sh\"", "path = \"/x\"", "field `files[0].path`: value `/x`: is absolute"),
        ("path = \"install.sh\"", "path = 'a\\b'", "field `files[0].path`: value `a\\b`: has a backslash"),
        ("path = \"install.sh\"", "path = \"a\\u0000b\"", "has a control character"),
        ("path = \"install.sh\"", "path = \"package.toml\"", "is the manifest's own"),
        ("sha256 = \"0a", "sha256 = \"0A", "package.toml:7: field `files[0].sha256`"),
        (
            "size_bytes = 3",
            "size_bytes = 2.5",
            "package.toml:8: field `files[0].size_bytes`: value `2.5`: must be a whole number",
        ),
        (
            "size_bytes = 3",
            "size_bytes = -1",
            "field `files[0].size_bytes`: value `-1`: must be a number in 0..=1000000000000",
        ),
        ("size_bytes = 3\n", "", "field `files[0].size_bytes`: is missing"),
        (
            "mode = \"755\"",
            "mode = \"4755\"",
            "package.toml:9: field `files[0].mode`: value `4755`: must be permission bits in octal",
        ),
        (
            "mode = \"755\"",
            "mode = \"644\"",
            "field `scripts.install`: value `install.sh`: cannot be run: `chmod +x` it",
        ),
        ("mode = \"755\"", "mode = \"777\"", "group and others may not write"),
        ("mode = \"755\"", "mode = \"0755\"", "field `files[0].mode`: value `0755`"),
        ("mode = \"755\"", "mode = \"355\"", "the owner may read"),
    ] {
        assert!(whole.contains(from), "{from}");
        let error = said(&whole.replacen(from, to, 1));
        assert!(error.contains(expected), "{to}: {error}");
    }
    assert!(said(GOOD).contains("field `files`: is missing; write [[files]]"));
    assert!(said("name = ").starts_with("package.toml:1: "));
}

#[test]
fn files_that_cannot_stand_beside_one_another_are_named() {
    let with = |paths: &[&str]| said(&format!("{GOOD}{}", paths.iter().map(|p| entry(p)).collect::<String>()));
    assert!(with(&["b", "a", "install.sh"]).contains("field `files[1].path`: value `a`: is out of order"));
    assert!(with(&["a", "a", "install.sh"]).contains("value `a`: is the same file as `a`, case aside"));
    assert!(with(&["A", "a", "install.sh"]).contains("value `a`: is the same file as `A`, case aside"));
    assert!(
        with(&["a", "a/b", "install.sh"]).contains("field `files[0].path`: value `a`: is both a file and a folder")
    );
    assert!(with(&["A/x", "a/y", "install.sh"]).contains("lies in a folder that differs from `A` in case only"));
    let many: Vec<String> = (0..=Manifest::FILES_MAX).map(|n| format!("f{n:05}")).collect();
    assert!(with(&many.iter().map(String::as_str).collect::<Vec<_>>()).contains("there may be at most 4096"));
    let long = format!("{}/{}", "a".repeat(100), "b".repeat(50));
    assert!(with(&[&long]).contains("is too long: at most 150 bytes, 100 a part"));
}

#[test]
fn folders_that_cannot_be_packed_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let build = || archive::build(dir.path(), &dir.path().join("../never.stp")).unwrap_err().to_string();
    assert!(build().contains("cannot read"), "{}", build());
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("package.toml", GOOD);
    assert!(
        build().contains("package.toml:4: field `scripts.install`: value `install.sh`: the package has no such file")
    );
    write("install.sh", "#!/bin/sh\n");
    symlink("/etc/passwd", dir.path().join("link")).unwrap();
    assert!(build().contains("link: a package holds plain files only"), "{}", build());
    std::fs::remove_file(dir.path().join("link")).unwrap();
    write("a\\b", "");
    assert!(build().contains("its path has a backslash"), "{}", build());
    std::fs::remove_file(dir.path().join("a\\b")).unwrap();
    // A list that was written by hand must be true.
    write("package.toml", &format!("{GOOD}{}", entry("install.sh")));
    assert!(build().contains("field `files[0].path`: value `install.sh`: the file in the folder is another"));
    assert!(!dir.path().join("../never.stp").exists());
    let found = [FileEntry { path: "install.sh".to_owned(), sha256: [10; 32], size_bytes: 3, mode: 0o755 }];
    Manifest::with_files("package.toml", &format!("{GOOD}{}", entry("install.sh")), &found).unwrap();
}
