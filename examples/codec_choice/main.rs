//! Which codec, and over which transport? Measured on your own data: a value of JSON, an array of objects, or a value per line.
//!
//! `cargo run --release --example codec_choice -- FILE.json [--json] [--svg PATH] [--millis N]`; `--help` says more.
//!
//! Each message is encoded and decoded with every codec of this program, and sent to a real actor and back over every
//! transport. It prints a table and a recommendation, and draws `codec_choice.svg`. Samples are in `examples/data`.

mod chart;
mod measure;
mod node;
mod progress;
mod report;
mod sample;
mod shape;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use pleach::host::Smol;
use report::Report;
use sample::Sample;

const USAGE: &str = "usage: codec_choice FILE.json [--json] [--svg PATH] [--millis N]";

const HELP: &str = "
Compares the codecs of this program on your own data, over every transport, and says which to take.

  FILE.json     a value of JSON, an array of objects, or a value per line; each is a message
  --json        the figures as JSON instead of a table
  --svg PATH    where the chart is drawn, codec_choice.svg by default
  --millis N    how long each figure is measured, 200 ms by default
  --help, -h    this text

A message is encoded as the type that a program would have for it, which is what all of them have in common: fields that
one of them lacks are options, objects with more than 64 keys are maps. Text as \"base64:AAEC\" stands for bytes.

Samples are in examples/data. Exit status: 0, 1 if something failed, 2 if the arguments or the file are of no use.";

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
    /// `None` if only help is asked for.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut file, mut svg, mut json, mut millis) = (None, PathBuf::from("codec_choice.svg"), false, 200);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--json" => json = true,
                "--svg" => svg = value()?.into(),
                "--millis" => millis = value()?.parse().map_err(|error| format!("--millis: {error}\n{USAGE}"))?,
                "--help" | "-h" => return Ok(None),
                option if option.starts_with('-') => return Err(format!("there is no option {option}\n{USAGE}")),
                name if file.is_none() => file = Some(name.into()),
                more => return Err(format!("one file at a time, {more} is another one\n{USAGE}")),
            }
        }
        let file = file.ok_or_else(|| format!("which file?\n{USAGE}"))?;
        Ok(Some(Self { file, svg, json, span: Duration::from_millis(millis) }))
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
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}\n{HELP}");
            return ExitCode::SUCCESS;
        }
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
