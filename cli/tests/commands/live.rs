//! The walk of docs/live.md, word for word, as real processes on the loopback.

mod serve;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The power fails for the controller and a device, both come back, and the next release goes to everybody: what was said before and what is
/// said now fit together.
const AFTERWARDS: &str = r#"
victims=$(jobs -p | sed -n 1,2p); kill -9 $victims; wait $victims || true
slacktide agent --config one/agent.toml --simulate-load csv:load.csv 2>> one/agent.log &
slacktide serve --config controller.toml > again.out 2>> controller.log & while ! grep -q listens again.out; do sleep 0.2; done
sed -i 's/1[.]1/1.3/' greeting/package.toml greeting/health.sh greeting/bin/greet
slacktide package build greeting && slacktide package sign greeting-1.3.stp --repository repo --keys keys
about="--policy policy.toml --package greeting-1.3.stp --fleet fleet.csv --scenario evening.toml"
slacktide sign-off create $about --chaos-worlds 2 --limit 'tightest_pool_percent<=90' --identity olive --out 1.3.sign-off.toml
slacktide sign-off sign 1.3.sign-off.toml --identity ada
to="--controller https://127.0.0.1:17443 --identity"
until slacktide rollout status --json $to olive | grep -q '"devices_connected":3'; do sleep 0.2; done
slacktide rollout create greeting 1.3 --sign-off 1.3.sign-off.toml $to olive && slacktide rollout approve 2 $to ada && slacktide rollout start 2 $to olive
slacktide rollout watch --until-over $to olive && test $(grep -l '1[.]3' */slots/active/package.toml | wc -l) = 3"#;

/// The shell that runs the walk, with all it started; ended with the test, however that ends.
struct Walk(Child);

impl Walk {
    fn end(&mut self) {
        // The shell leads a process group of its own: nobody else is in it.
        let _ = Command::new("kill").args(["-TERM", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.end();
    }
}

/// The commands of a page, one a line.
pub(crate) fn commands(page: &str) -> Vec<String> {
    let mut blocks = page.split("```sh\n").skip(1);
    let mut commands = Vec::new();
    for block in &mut blocks {
        let (block, _) = block.split_once("```").unwrap();
        commands.extend(block.lines().map(str::to_owned));
    }
    commands
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to)
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The search path of the shell, with this build of slacktide before any other.
pub(crate) fn path_with_slacktide() -> std::ffi::OsString {
    let binaries = Path::new(env!("CARGO_BIN_EXE_slacktide")).parent().unwrap();
    let others = std::env::var_os("PATH").unwrap();
    std::env::join_paths(std::iter::once(binaries.to_owned()).chain(std::env::split_paths(&others))).unwrap()
}

#[test]
fn ten_commands_update_three_agents_and_take_a_bad_package_back() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(project.join("docs/live.md")).unwrap();
    let commands = commands(&page);
    assert_eq!(commands.len(), 10, "{commands:#?}");
    let dir = tempfile::tempdir().unwrap();
    copy(&project.join("examples"), &dir.path().join("examples"));
    // After the last command the controller and the agents are still there: the test looks at the devices, then ends them.
    let script = format!("set -e\n{}\ntouch done\n{AFTERWARDS}\ntouch again\nwait\n", commands.join("\n"));
    let out = fs::File::create(dir.path().join("out")).unwrap();
    let child = Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir.path())
        .env("PATH", path_with_slacktide())
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .process_group(0)
        .spawn()
        .unwrap();
    let mut walk = Walk(child);
    let demo = dir.path().join("demo");
    let told = || {
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let logs = ["out", "demo/controller.log", "demo/one/agent.log", "demo/two/agent.log", "demo/three/agent.log"];
        let tail = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(25)..].join("\n")
        };
        logs.map(|name| format!("== {name}\n{}", tail(read(name)))).join("\n")
    };
    let mut wait_for = |file: &str| {
        let began = std::time::Instant::now();
        while !demo.join(file).exists() {
            assert!(walk.0.try_wait().unwrap().is_none(), "the walk ended early\n{}", told());
            // So long only when a machine is very busy; it takes some forty seconds.
            assert!(began.elapsed().as_secs() < 240, "the walk does not end\n{}", told());
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    };
    wait_for("done");
    for device in ["one", "two", "three"] {
        let active = demo.join(device).join("slots/active");
        assert_eq!(
            fs::read_to_string(active.join("run/greeting")).unwrap(),
            "hello from 1.1\n",
            "{device}\n{}",
            told()
        );
        assert!(fs::read_to_string(active.join("package.toml")).unwrap().contains("version = \"1.1\""));
    }
    // The bad release was tried on the canary, and on nobody else.
    let tried = |device: &&str| {
        ["a", "b"].iter().any(|slot| {
            let text = fs::read_to_string(demo.join(device).join("slots").join(slot).join("package.toml"));
            text.is_ok_and(|text| text.contains("version = \"1.2\""))
        })
    };
    let tried = ["one", "two", "three"].iter().filter(|device| tried(device)).count();
    assert!(tried <= 1, "{tried} devices tried the bad release\n{}", told());
    wait_for("again");
    for device in ["one", "two", "three"] {
        let active = demo.join(device).join("slots/active");
        assert!(fs::read_to_string(active.join("package.toml")).unwrap().contains("version = \"1.3\""), "{}", told());
    }
    walk.end();
}
