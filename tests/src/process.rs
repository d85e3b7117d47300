//! Starts a program under test, reads its banner, and ends it in the ways in which processes end.

use crate::client::Client;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything that must happen may take on a machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The log in small segments, so that stories meet their ends and seals; no rows of Ouro's own among those that are
/// counted; a sync counts as a sync.
const SETTINGS: &str = r#"
[observe]
enabled = false
[ingester.consensus.journal]
segment_size = "1MiB"
max_size = "1GiB"
reserve = "2MiB"
"#;

/// Where a program lives: its folders, its settings, and how it is started. Outlives every run of it.
pub struct Home {
    program: PathBuf,
    folder: TempDir,
    data: PathBuf,
    settings: String,
    /// Words before the program, which run it somewhere else.
    enter: Vec<String>,
}

impl Home {
    /// An empty data folder, and settings that suit stories.
    pub fn new(program: &str) -> Home {
        Home::with(program, "")
    }

    /// With more settings, as TOML. Tables that stories set already may not be opened again.
    pub fn with(program: &str, settings: &str) -> Home {
        Home::plain(program).set(&format!("{settings}\n{SETTINGS}"))
    }

    /// Without a settings file.
    pub fn plain(program: &str) -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        Home { program: program.into(), folder, data, settings: String::new(), enter: Vec::new() }
    }

    /// Starts the program by these words: a command that becomes the one after it.
    pub fn within(mut self, enter: Vec<String>) -> Home {
        self.enter = enter;
        self
    }

    /// Writes the settings anew; they count from the next start on.
    pub fn set(mut self, settings: &str) -> Home {
        self.change(settings);
        self
    }

    /// As `change`, with the settings that suit stories.
    pub fn change_with(&mut self, settings: &str) {
        self.change(&format!("{settings}\n{SETTINGS}"));
    }

    pub fn change(&mut self, settings: &str) {
        self.settings = settings.to_owned();
        std::fs::write(self.config(), settings).expect("written");
    }

    /// Keeps data elsewhere, for instance on another disk.
    pub fn data_at(mut self, data: &Path) -> Home {
        self.data = data.to_owned();
        self
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A path beside the data folder.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.beside("settings.toml")
    }

    /// Starts the one process, which is ready when this returns.
    #[track_caller]
    pub fn start(&self) -> Process {
        self.start_with("")
    }

    /// With fail points, as the `fail` crate reads them: `flush::after_cut=panic`.
    #[track_caller]
    pub fn start_with(&self, points: &str) -> Process {
        self.try_start(points).unwrap_or_else(|end| panic!("the process did not start: {end:?}"))
    }

    /// Starts the one process, or says how it ended.
    pub fn try_start(&self, points: &str) -> Result<Process, End> {
        let mut command = Command::new(&self.program);
        command.arg("--data").arg(&self.data).args(["--listen", "127.0.0.1:0"]);
        self.launch(command, points)
    }

    /// Starts one service as a member of a cluster.
    #[track_caller]
    pub fn start_role(&self, role: &str) -> Process {
        self.try_start_role(role).unwrap_or_else(|end| panic!("{role} did not start: {end:?}"))
    }

    /// … or says how it ended.
    pub fn try_start_role(&self, role: &str) -> Result<Process, End> {
        let mut words = self.enter.iter().map(PathBuf::from).chain([self.program.clone()]);
        let mut command = Command::new(words.next().expect("a program at least"));
        command.args(words).args(["run", role]);
        self.launch(command, "")
    }

    pub fn settings(&self) -> &str {
        &self.settings
    }

    fn launch(&self, mut command: Command, points: &str) -> Result<Process, End> {
        if !self.settings.is_empty() {
            command.arg("--config").arg(self.config());
        }
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OURO_")) {
            command.env_remove(name);
        }
        command.env("FAILPOINTS", points).env("RUST_BACKTRACE", "0");
        Process::spawn(command)
    }
}

/// How a process ended.
#[derive(Debug)]
pub struct End {
    pub status: ExitStatus,
    /// Of the whole run.
    pub stderr: String,
}

/// A running program. Dropping it kills it, and shows what it said if the test is failing.
pub struct Process {
    child: Child,
    /// Held so that the program sees its end when this test ends.
    _stdin: Option<ChildStdin>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    /// All that it said on standard output until it was ready.
    pub banner: String,
    /// From the start to the banner.
    pub took: Duration,
    /// `http://host:port`; empty for a program without a socket.
    pub url: String,
}

impl Process {
    fn spawn(mut command: Command) -> Result<Process, End> {
        let begun = Instant::now();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let stderr = Arc::new(Mutex::new(String::new()));
        let (lines, said) = channel();
        let out = child.stdout.take().expect("standard output is piped");
        let reader = std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|line| drop(lines.send(line)));
        });
        let (mut err, kept) = (child.stderr.take().expect("standard error is piped"), Arc::clone(&stderr));
        let copier = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = err.read(&mut bytes) {
                lock(&kept).push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        let stdin = child.stdin.take();
        let readers = vec![reader, copier];
        let mut process = Process {
            child,
            _stdin: stdin,
            stderr,
            readers,
            banner: String::new(),
            took: Duration::ZERO,
            url: String::new(),
        };
        match aside(|| process.await_banner(&said)) {
            true => {
                process.took = begun.elapsed();
                Ok(process)
            }
            false => Err(process.wait()),
        }
    }

    /// Reads until a line has an address. False when the program ended first.
    fn await_banner(&mut self, said: &Receiver<String>) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = match said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("not ready within {PATIENCE:?}: {}", self.stderr()),
            };
            self.banner.push_str(&line);
            self.banner.push('\n');
            if let Some(url) = address(&line) {
                self.url = url;
                return true;
            }
        }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    pub fn stderr(&self) -> String {
        lock(&self.stderr).clone()
    }

    /// As the kernel or a power switch would: no signal handler runs.
    pub fn kill(mut self) -> End {
        self.child.kill().expect("a child can be killed");
        self.wait()
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(self) -> End {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Stops it as it stands, like a machine that swaps or is moved.
    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> End {
        let deadline = Instant::now() + PATIENCE;
        let status = aside(|| {
            loop {
                if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                    break status;
                }
                assert!(Instant::now() < deadline, "still running after {PATIENCE:?}: {}", self.stderr());
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        // They end when the pipes do.
        self.readers.drain(..).for_each(|reader| drop(reader.join()));
        End { status, stderr: self.stderr() }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.stderr();
            let from = said.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
            let name = self.banner.lines().last().unwrap_or("that never was ready");
            eprintln!("--- what process {}, {name}, said last ---\n{}\n---", self.child.id(), &said[from..]);
        }
    }
}

/// Waits without holding up a load that runs meanwhile, where there are threads for that.
fn aside<T>(wait: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}

/// `http://host:port` of the first address in a line.
fn address(line: &str) -> Option<String> {
    let from = line.find("http://")?;
    let rest = &line[from + "http://".len()..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]-".contains(c))).unwrap_or(rest.len());
    Some(format!("http://{}", &rest[..end]))
}

fn lock(text: &Mutex<String>) -> std::sync::MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_banners() {
        for (line, want) in [
            ("  push logs      http://127.0.0.1:4711/loki/api/v1/push", Some("http://127.0.0.1:4711")),
            ("querier q is ready: query http://[::1]:9, members reach it at x:1", Some("http://[::1]:9")),
            ("ouro 0.1.0 is ready after 0.10 s, data in /tmp/x", None),
        ] {
            assert_eq!(address(line).as_deref(), want, "{line}");
        }
    }
}
