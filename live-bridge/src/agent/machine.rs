//! The course of one attempt, step by step. Before a step touches anything it is on the disk that the step is about to be taken; so after a
//! power loss the machine knows what may have happened, runs no script of a package a second time (but the health check, which is a
//! question and changes nothing), and ends on the old release or the new one.
//!
//! ```text
//! queued → downloading → downloaded → precheck → draining → installing → rebooting → verifying → committed
//!          └─ fails, canceled ──────────────┘     └─ fails, interrupted, too late ────────┘
//!                     ▼                                        ▼
//!             outcome, nothing touched              rolling_back → outcome, on the slot before
//! ```

use super::config::{Hook, Settings};
use super::desk::{Desk, tail};
use super::disk::Copy;
use super::download;
use super::now_ms;
use super::packages::{Found, PackageSource, Trouble, Verifier};
use super::script::{self, Job, Ran};
use super::slots::{Release, Slots};
use super::state::{Kind, Phase, Script, Scripts, Slot, Verdict, Work, same_version};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Output of a script that goes into a reason, bytes.
const WORDS_BYTES_MAX: usize = 1024;

/// What carries out commands.
#[derive(Clone)]
pub struct Machine {
    settings: Arc<Settings>,
    desk: Arc<Desk>,
    slots: Slots,
    source: Arc<dyn PackageSource>,
    verifier: Arc<dyn Verifier>,
    mark: String,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("slots", &self.slots).finish_non_exhaustive()
    }
}

/// Why the download phase ended without a package.
enum Stopped {
    Trouble(Trouble),
    TooLate,
    /// Called off, or the agent is to stop.
    Interrupted,
}

impl Machine {
    /// A machine on this desk.
    ///
    /// # Errors
    /// The folder of the slots cannot be made.
    pub fn new(
        settings: Arc<Settings>,
        desk: Arc<Desk>,
        source: Arc<dyn PackageSource>,
        verifier: Arc<dyn Verifier>,
    ) -> io::Result<Self> {
        let slots = Slots::new(&settings.slots)?;
        let mark = format!("{}#", settings.state.canonicalize()?.display());
        Ok(Self { settings, desk, slots, source, verifier, mark })
    }

    /// The release the device runs.
    ///
    /// # Errors
    /// See [`Slots::current`].
    pub fn version(&self) -> io::Result<String> {
        Ok(self.slots.current()?.map_or_else(|| self.settings.version.clone(), |r| r.version))
    }

    /// After a start: ends what is left of scripts of the life before, and settles what they may have left undone. `copy` tells which copy
    /// of the state was read: an older one does not know the last step.
    ///
    /// # Errors
    /// The disk.
    pub async fn recover(&self, copy: &Copy) -> io::Result<()> {
        let killed = script::end_marked(&self.mark).await;
        if killed > 0 {
            tracing::warn!(killed, "ended processes that scripts of an earlier life had left");
        }
        let Some(work) = self.desk.work() else { return Ok(()) };
        let unsure = matches!(copy, Copy::Previous(_)) && (Phase::Downloaded..Phase::Committed).contains(&work.phase);
        if !unsure && !work.begun {
            return Ok(());
        }
        let name = work.phase.name();
        let why = if unsure { format!("the record was damaged at {name}") } else { format!("interrupted at {name}") };
        tracing::warn!(attempt = work.attempt, why, "an attempt cannot go on");
        match work.phase {
            // Nothing has been touched.
            Phase::Precheck | Phase::Downloaded if !unsure => self.end(Verdict::Failed, &why),
            Phase::Downloaded | Phase::Precheck | Phase::Draining | Phase::Installing => self.back(&why),
            Phase::Rebooting | Phase::Verifying if unsure => self.back(&why),
            _ => Ok(()),
        }
    }

    /// Carries out what there is to do until told to stop; then it stops at the next step. With `once` it ends when there is nothing to do.
    ///
    /// # Errors
    /// The disk of the device: it cannot be known any more what was done.
    pub async fn run(&self, mut stop: watch::Receiver<bool>, once: bool) -> io::Result<()> {
        let mut changes = self.desk.changes();
        while !*stop.borrow() {
            changes.borrow_and_update();
            match self.desk.work() {
                Some(work) => self.step(work, &mut stop).await?,
                None if once => break,
                None => {
                    tokio::select! {
                        changed = changes.changed() => if changed.is_err() { break },
                        stopped = stop.changed() => if stopped.is_err() { break },
                    }
                }
            }
        }
        Ok(())
    }

    async fn step(&self, work: Work, stop: &mut watch::Receiver<bool>) -> io::Result<()> {
        tracing::info!(command = work.command, attempt = work.attempt, phase = work.phase.name(), "step");
        let Kind::Install { package, sha256 } = &work.kind else {
            return self.rollback(&work).await;
        };
        if work.cancel && work.can_be_cancelled() {
            return self.end(Verdict::Canceled, "");
        }
        if work.left_ms(now_ms()) == 0 && work.phase < Phase::Draining {
            return self.end(Verdict::Failed, &format!("out of time at {}", work.phase.name()));
        }
        match work.phase {
            Phase::Queued => self.enter(Phase::Downloading, |_| ()),
            Phase::Downloading => self.download(&work, package, sha256.as_deref(), stop).await,
            Phase::Downloaded => self.enter(Phase::Precheck, |_| ()),
            Phase::Precheck => self.precheck(&work).await,
            Phase::Draining => self.drain(&work).await,
            Phase::Installing => self.install(&work).await,
            Phase::Rebooting => self.reboot(&work).await,
            Phase::Verifying => self.verify(&work).await,
            Phase::Committed => self.end(Verdict::Succeeded, ""),
            Phase::RollingBack => self.roll_back(&work).await,
        }
    }

    async fn download(
        &self,
        work: &Work,
        package: &str,
        sha256: Option<&str>,
        stop: &mut watch::Receiver<bool>,
    ) -> io::Result<()> {
        let mut changes = self.desk.changes();
        let called_off = async {
            while !self.desk.work().is_some_and(|w| w.cancel) {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        let time_left = Duration::from_millis(work.left_ms(now_ms()));
        let come = tokio::select! {
            come = self.bring(package, &work.version, sha256) => come.map_err(Stopped::Trouble),
            () = tokio::time::sleep(time_left) => Err(Stopped::TooLate),
            () = called_off => Err(Stopped::Interrupted),
            _ = stop.wait_for(|stop| *stop) => Err(Stopped::Interrupted),
        };
        match come {
            Ok(scripts) => self.enter(Phase::Downloaded, |work| work.scripts = Some(scripts)),
            Err(Stopped::Trouble(trouble)) => self.end(Verdict::Failed, &trouble.to_string()),
            Err(Stopped::TooLate) => self.end(Verdict::Failed, "out of time at downloading"),
            Err(Stopped::Interrupted) => Ok(()),
        }
    }

    /// Fetches, checks and unpacks beside the slots. What was begun in an earlier life and does not pass is fetched anew, once: a file can be
    /// replaced in the repository by another of its size.
    async fn bring(&self, package: &str, version: &str, sha256: Option<&str>) -> Result<Scripts, Trouble> {
        let found = self.find(package, version).await?;
        if let Some(ordered) = sha256.filter(|ordered| *ordered != found.sha256) {
            let signed = &found.sha256;
            let why = format!("the repository has another {package} {version} ({signed}) than was ordered ({ordered})");
            return Err(Trouble::Refused(why));
        }
        let partial = self.partial_path(&found)?;
        let mut again = partial.exists();
        loop {
            download::fetch(self.source.as_ref(), &found, &partial, self.settings.stall).await?;
            match self.unpack(&found, &partial).await {
                Ok(scripts) => {
                    tokio::fs::remove_file(&partial).await?;
                    return Ok(scripts);
                }
                Err(Trouble::Refused(why)) => {
                    tokio::fs::remove_file(&partial).await?;
                    if !std::mem::take(&mut again) {
                        return Err(Trouble::Refused(why));
                    }
                    tracing::warn!(why, "a package begun earlier is not whole: fetching it anew");
                }
                Err(other) => return Err(other),
            }
        }
    }

    async fn find(&self, package: &str, version: &str) -> Result<Found, Trouble> {
        let mut backoff = super::link::Backoff::default();
        loop {
            let found = self.verifier.find(Arc::clone(&self.source), package, version);
            match tokio::time::timeout(self.settings.stall, found).await {
                Ok(Err(Trouble::Unreachable(why))) => tracing::info!(why, "metadata not reached"),
                Err(_) => tracing::info!("metadata did not come in time"),
                Ok(other) => return other,
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    async fn unpack(&self, found: &Found, partial: &Path) -> Result<Scripts, Trouble> {
        let (verifier, slots) = (Arc::clone(&self.verifier), self.slots.clone());
        let (found, partial) = (found.clone(), partial.to_owned());
        let unpacked = tokio::task::spawn_blocking(move || {
            let into = slots.clear_incoming()?;
            let scripts = verifier.check_and_unpack(&found, &partial, &into)?;
            slots.sync()?;
            Ok(scripts)
        });
        unpacked.await.unwrap_or_else(|error| Err(Trouble::Refused(format!("checking it failed: {error}"))))
    }

    fn partial_path(&self, found: &Found) -> Result<PathBuf, Trouble> {
        let folder = self.settings.state.join("downloads");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.partial", found.file.replace('/', "_")));
        // One download at a time: what is left of others is of no use any more.
        for entry in std::fs::read_dir(&folder)?.flatten().filter(|entry| entry.path() != path) {
            std::fs::remove_file(entry.path())?;
        }
        Ok(path)
    }

    async fn precheck(&self, work: &Work) -> io::Result<()> {
        let (incoming, scripts) = (self.slots.incoming(), work.scripts.clone().unwrap_or_default());
        match self.run_once(work, scripts.precheck.as_ref(), &incoming).await? {
            Some(ran) if !ran.succeeded() => self.end(Verdict::Failed, &words("precheck", &ran)),
            _ => {
                let from = self.slots.active()?;
                let to = from.map_or(Slot::A, Slot::other);
                self.enter(Phase::Draining, |work| (work.from, work.to) = (from, Some(to)))
            }
        }
    }

    async fn drain(&self, work: &Work) -> io::Result<()> {
        let (incoming, scripts) = (self.slots.incoming(), work.scripts.clone().unwrap_or_default());
        match self.run_once(work, scripts.drain.as_ref(), &incoming).await? {
            Some(ran) if !ran.succeeded() => self.back(&words("drain", &ran)),
            _ if self.wanted_back() => self.back("taken back"),
            _ => self.enter(Phase::Installing, |_| ()),
        }
    }

    async fn install(&self, work: &Work) -> io::Result<()> {
        let to = work.to.unwrap_or(Slot::A);
        let scripts = work.scripts.clone().unwrap_or_default();
        self.begin(work)?;
        // A full disk is no reason to lose the device: the slot in use has not been touched.
        if let Err(error) = self.slots.promote(to) {
            return self.back(&format!("cannot place the release: {error}"));
        }
        let folder = self.slots.path(to);
        if let Some(script) = &scripts.install {
            let ran = self.run_script(work, script, &folder, self.limit(work, script)).await;
            if !ran.succeeded() {
                return self.back(&words("install", &ran));
            }
        }
        if let Err(error) = self.slots.describe(to, &Release { version: work.version.clone(), scripts }) {
            return self.back(&format!("cannot describe the release: {error}"));
        }
        if self.wanted_back() { self.back("taken back") } else { self.enter(Phase::Rebooting, |_| ()) }
    }

    async fn reboot(&self, work: &Work) -> io::Result<()> {
        self.slots.switch(work.to)?;
        match self.hook(work, self.settings.restart.as_ref()).await {
            Some(ran) if !ran.succeeded() => self.back(&words("restart", &ran)),
            _ => self.enter(Phase::Verifying, |_| ()),
        }
    }

    async fn verify(&self, work: &Work) -> io::Result<()> {
        if work.left_ms(now_ms()) == 0 {
            return self.back("out of time at verifying");
        }
        let scripts = work.scripts.clone().unwrap_or_default();
        if let (Some(script), Some(to)) = (&scripts.health, work.to) {
            let ran = self.run_script(work, script, &self.slots.path(to), self.limit(work, script)).await;
            if !ran.succeeded() {
                return self.back(&words("health", &ran));
            }
        }
        if self.wanted_back() { self.back("taken back") } else { self.enter(Phase::Committed, |_| ()) }
    }

    /// Back to the slot before, whatever had happened to it: nothing, if the switch was never made.
    async fn roll_back(&self, work: &Work) -> io::Result<()> {
        let failure = work.failure.as_deref().unwrap_or("taken back");
        if let Some(to) = work.to.filter(|to| Some(*to) != work.from) {
            self.slots.switch(work.from)?;
            // Nothing leads to a release that was not good. What else is there, where it came to no installation, stays.
            if self.slots.release(to)?.is_some_and(|r| same_version(&r.version, &work.version)) {
                self.slots.forget(to)?;
            }
        }
        let healthy = self.healthy(work).await?;
        let reason = match healthy {
            Ok(()) => failure.to_owned(),
            Err(ill) => format!("{failure}; and on the release before: {ill}"),
        };
        self.end(Verdict::Failed, &reason)
    }

    /// The command to go back to the release before.
    async fn rollback(&self, work: &Work) -> io::Result<()> {
        if work.phase == Phase::Queued {
            if same_version(&self.version()?, &work.version) {
                return self.end(Verdict::AlreadyCurrent, "");
            }
            let from = self.slots.active()?;
            let Some(to) = self.place_of(from, &work.version)? else {
                return self
                    .end(Verdict::Rejected, &format!("release {} is not on this device any more", work.version));
            };
            return self.enter(Phase::RollingBack, |work| (work.from, work.to) = (from, to));
        }
        self.slots.switch(work.to)?;
        match self.healthy(work).await? {
            Ok(()) => self.end(Verdict::Succeeded, ""),
            Err(ill) => self.end(Verdict::Failed, &ill),
        }
    }

    /// The slot (or none: the device as it came) with that version, other than `from`.
    fn place_of(&self, from: Option<Slot>, version: &str) -> io::Result<Option<Option<Slot>>> {
        for slot in [Slot::A, Slot::B].into_iter().filter(|slot| Some(*slot) != from) {
            if self.slots.release(slot)?.is_some_and(|r| same_version(&r.version, version)) {
                return Ok(Some(Some(slot)));
            }
        }
        Ok((from.is_some() && same_version(version, &self.settings.version)).then_some(None))
    }

    /// Restarts the active release and asks whether it does its work.
    async fn healthy(&self, work: &Work) -> io::Result<Result<(), String>> {
        if let Some(ran) = self.hook(work, self.settings.restart.as_ref()).await
            && !ran.succeeded()
        {
            return Ok(Err(words("restart", &ran)));
        }
        let (Some(slot), Some(release)) = (self.slots.active()?, self.slots.current()?) else { return Ok(Ok(())) };
        let Some(script) = release.scripts.health else { return Ok(Ok(())) };
        let limit = Duration::from_millis(script.time_limit_ms);
        let ran = self.run_script(work, &script, &self.slots.path(slot), limit).await;
        Ok(if ran.succeeded() { Ok(()) } else { Err(words("health", &ran)) })
    }

    /// Has the controller sent a rollback meanwhile?
    fn wanted_back(&self) -> bool {
        self.desk.state().next.is_some()
    }

    /// Runs a script that must not run twice: that it is about to is on the disk first. None: there is no script, or it was called off.
    async fn run_once(&self, work: &Work, script: Option<&Script>, folder: &Path) -> io::Result<Option<Ran>> {
        let Some(script) = script else { return Ok(None) };
        self.begin(work)?;
        Ok(Some(self.run_script(work, script, folder, self.limit(work, script)).await))
    }

    fn begin(&self, work: &Work) -> io::Result<()> {
        self.desk.change(|change| {
            if let Some(now) = change.state.work.as_mut().filter(|now| now.command == work.command) {
                now.begun = true;
            }
        })
    }

    fn limit(&self, work: &Work, script: &Script) -> Duration {
        Duration::from_millis(script.time_limit_ms.min(work.left_ms(now_ms())))
    }

    async fn run_script(&self, work: &Work, script: &Script, folder: &Path, time_limit: Duration) -> Ran {
        let mark = format!("{}{}#", self.mark, work.command);
        let program = folder.join(&script.path);
        let environment = self.environment(work, folder);
        let job =
            Job { program: &program, folder, environment, mark: Some(&mark), time_limit, grace: self.settings.grace };
        let ran = script::run(job).await;
        tracing::info!(attempt = work.attempt, script = script.path, result = %ran, "script ended");
        ran
    }

    /// The device's own hook. What it starts stays: it is not of the package, and starting things is what it is for.
    async fn hook(&self, work: &Work, hook: Option<&Hook>) -> Option<Ran> {
        let hook = hook?;
        let folder = self.slots.active_path();
        let environment = self.environment(work, &folder);
        let folder = if folder.exists() { folder } else { self.settings.slots.clone() };
        let (mark, time_limit, grace) = (None, hook.time_limit, self.settings.grace);
        let ran =
            script::run(Job { program: &hook.program, folder: &folder, environment, mark, time_limit, grace }).await;
        tracing::info!(attempt = work.attempt, hook = %hook.program.display(), result = %ran, "hook ended");
        Some(ran)
    }

    fn environment(&self, work: &Work, folder: &Path) -> Vec<(&'static str, String)> {
        let placed = work.to.is_some() || work.phase >= Phase::Draining;
        let before = if placed { work.from } else { self.slots.active().ok().flatten() };
        let previous = before.and_then(|slot| self.slots.release(slot).ok().flatten());
        let previous = previous.map_or_else(|| self.settings.version.clone(), |r| r.version);
        vec![
            ("SLACKTIDE_ACTIVE", self.slots.active_path().display().to_string()),
            ("SLACKTIDE_ATTEMPT", work.attempt.to_string()),
            ("SLACKTIDE_DEVICE", self.settings.device_id.clone()),
            ("SLACKTIDE_PREVIOUS", previous),
            ("SLACKTIDE_PREVIOUS_SLOT", before.map_or_else(String::new, |s| self.slots.path(s).display().to_string())),
            ("SLACKTIDE_SLOT", folder.display().to_string()),
            ("SLACKTIDE_VERSION", work.version.clone()),
        ]
    }

    fn enter(&self, phase: Phase, alter: impl FnOnce(&mut Work)) -> io::Result<()> {
        if self.desk.enter(phase, alter)? { Ok(()) } else { self.end(Verdict::Canceled, "") }
    }

    /// Goes back, and says why.
    fn back(&self, why: &str) -> io::Result<()> {
        tracing::warn!(why, "going back");
        self.enter(Phase::RollingBack, |work| work.failure = Some(why.to_owned()))
    }

    fn end(&self, verdict: Verdict, reason: &str) -> io::Result<()> {
        let version = self.version()?;
        tracing::info!(?verdict, reason, version, "attempt ended");
        self.desk.finish(verdict, reason, &version)
    }
}

fn words(script: &str, ran: &Ran) -> String {
    let short = Ran { end: ran.end.clone(), output: tail(&ran.output, WORDS_BYTES_MAX).to_owned() };
    format!("{script}: {short}")
}
