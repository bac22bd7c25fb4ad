//! Which codec, and over which transport? Measured on your own data: a value of JSON, an array of objects, or a value per line.
//!
//! `cargo run --release --example codec_choice -- FILE.json [--json] [--svg PATH] [--millis N]`
//!
//! Each message is encoded and decoded with every codec of this program, and sent to a real actor and back over every
//! transport. It prints a table and a recommendation, and draws `codec_choice.svg`. Samples are in `examples/data`.

mod chart;
mod measure;
mod progress;
mod report;
mod sample;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use pleach::host::Smol;
use report::Report;
use sample::Sample;

const USAGE: &str = "usage: codec_choice FILE.json [--json] [--svg PATH] [--millis N]";

/// What cannot be used, with the remedy: exit status 2.
const UNUSABLE: u8 = 2;

struct Options {
    file: PathBuf,
    svg: PathBuf,
    json: bool,
    /// How long each figure is measured.
    span: Duration,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut file, mut svg, mut json, mut millis) = (None, PathBuf::from("codec_choice.svg"), false, 200);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value; {USAGE}"));
            match argument.as_str() {
                "--json" => json = true,
                "--svg" => svg = value()?.into(),
                "--millis" => millis = value()?.parse().map_err(|error| format!("--millis: {error}; {USAGE}"))?,
                option if option.starts_with("--") => return Err(format!("there is no option {option}; {USAGE}")),
                name => file = Some(name.into()),
            }
        }
        let file = file.ok_or(USAGE)?;
        Ok(Self { file, svg, json, span: Duration::from_millis(millis) })
    }
}

fn unusable(why: impl fmt::Display) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(UNUSABLE)
}

async fn run(options: Options, sample: Sample) -> pleach::Result<()> {
    let rows = measure::all(sample.messages.clone(), options.span).await?;
    let report = Report::new(&sample, rows);
    std::fs::write(&options.svg, chart::draw(&report))?;
    if options.json {
        println!("{:#}", report.json());
    } else {
        print!("{}", report.table());
        println!("drawn in {}", options.svg.display());
    }
    Ok(())
}

fn main() -> ExitCode {
    // The actors that the messages are sent to are this program as well.
    pleach::actor::enter(|| {});
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => return unusable(error),
    };
    let sample = match Sample::read(&options.file) {
        Ok(sample) => sample,
        Err(error) => return unusable(error),
    };
    let ended = pleach::actor::run(Smol::one_thread(), move || run(options, sample));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}
