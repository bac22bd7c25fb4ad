//! The command line.

use std::fmt;
use std::time::Duration;

use pleach::Result;

pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) port: u16,
    pub(crate) workers: usize,
}

pub(crate) enum Mode {
    Demo,
    Serve,
    Load(Load),
}

pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) connections: u64,
    pub(crate) kill_every: Option<Duration>,
}

impl Options {
    pub(crate) fn parse() -> Result<Self> {
        let mut options = Self { mode: Mode::Demo, port: 0, workers: 4 };
        let (mut requests, mut connections, mut kill_every) = (None, 16, None);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| Usage(format!("{word} needs a value")))?;
            match word.as_str() {
                "--serve" => (options.mode, options.port) = (Mode::Serve, value.parse()?),
                "--workers" => options.workers = value.parse()?,
                "--load" => requests = Some(value.parse()?),
                "--connections" => connections = value.parse()?,
                "--kill-every" => kill_every = Some(Duration::from_millis(value.parse()?)),
                _ => Err(Usage(format!("unknown option {word}")))?,
            }
        }
        if options.workers == 0 || connections == 0 {
            Err(Usage("a server without workers, or a client without connections, ends never".to_owned()))?;
        }
        if let Some(requests) = requests {
            options.mode = Mode::Load(Load { requests, connections, kill_every });
        }
        Ok(options)
    }
}

#[derive(Debug)]
struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; usage: infected_http [--serve PORT | --load REQUESTS [--connections N] [--kill-every MS]] [--workers N]",
            self.0
        )
    }
}

impl std::error::Error for Usage {}
