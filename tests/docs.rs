//! What the documents say of the sources: each law that is promised has a test that is named after it, and what they call a test
//! is one.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Rust files under a folder, however deep.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a function or a trial has a name that begins so: `fn d05_..`, `"mem::d05_.."`.
fn is_named(source: &str, prefix: &str) -> bool {
    let inside_a_name = |at: usize| source[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
    source.match_indices(prefix).any(|(at, _)| !inside_a_name(at))
}

/// The law of a line `- **D5** ..`.
fn law(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("- **")?.split_once("**")?;
    Some(name)
}

/// The test names of a line `test: `d05_`, `l07_``.
fn tests(line: &str) -> Option<Vec<&str>> {
    let names = line.trim_start().strip_prefix("test: ")?;
    Some(names.split('`').skip(1).step_by(2).collect())
}

/// `D5` as tests write it: `d05_`.
fn prefix(law: &str) -> String {
    let (letter, number) = law.split_at(1);
    format!("{}{:0>2}_", letter.to_lowercase(), number)
}

/// The sources that tests are in, but for this one.
fn sources() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["src", "bridge", "codecs", "macros", "tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    files.retain(|file| !file.ends_with("tests/docs.rs"));
    files.iter().map(|file| read(file)).collect()
}

#[test]
fn each_law_has_a_test_that_is_named_after_it() {
    let sources = sources();
    let text = read(&root().join("docs/laws.md"));
    let mut missing = Vec::new();
    let mut open: Option<&str> = None;
    for line in text.lines().chain(["- **end**"]) {
        if let Some(name) = law(line) {
            missing.extend(open.replace(name).map(|law| format!("{law} names no test")));
        }
        let Some(names) = tests(line) else { continue };
        let law = open.take().unwrap_or_else(|| panic!("a test without a law: {line}"));
        if !names.iter().any(|name| name.starts_with(&prefix(law))) {
            missing.push(format!("{law} has no test called {}..", prefix(law)));
        }
        let absent = names.iter().filter(|name| !sources.iter().any(|source| is_named(source, name)));
        missing.extend(absent.map(|name| format!("{law}: nothing is called {name}..")));
    }
    assert!(missing.is_empty(), "docs/laws.md promises what no test holds:\n  {}", missing.join("\n  "));
}

/// The cells of a row that begins with a test of trio's.
fn row(line: &str) -> Option<Vec<&str>> {
    let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
    cells.starts_with("`test_").then(|| cells.split(" | ").collect())
}

/// What is written as code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_function(source: &str, name: &str) -> bool {
    ["(", "<"].iter().any(|after| source.contains(&format!("fn {name}{after}")))
}

/// What is wrong with a row of `docs/trio.md`.
fn wrong(cells: &[&str], sources: &[String]) -> Option<String> {
    let [trio, ours, verdict] = cells else {
        let has_reason = cells.len() == 2 && !cells[1].is_empty();
        return (!has_reason).then(|| format!("{} has neither a test nor a reason", cells[0]));
    };
    let also = code(verdict).filter(|name| name.starts_with('c') && name.contains('_'));
    let absent = code(ours).chain(also).find(|name| !sources.iter().any(|source| is_function(source, name)));
    if let Some(name) = absent {
        return Some(format!("{trio}: there is no test `{name}`"));
    }
    let is_verdict = verdict.starts_with("same") || verdict.starts_with("differs: ");
    (!is_verdict || code(ours).next().is_none()).then(|| format!("{trio}: is it the same, and in which test?"))
}

#[test]
fn each_test_of_trios_is_answered_by_one_that_exists() {
    let (text, sources) = (read(&root().join("docs/trio.md")), sources());
    let rows: Vec<_> = text.lines().filter_map(row).collect();
    let mut found: Vec<_> = rows.iter().filter_map(|cells| wrong(cells, &sources)).collect();
    let mut seen = HashSet::new();
    found
        .extend(rows.iter().filter(|cells| !seen.insert(cells[0])).map(|cells| format!("{} is there twice", cells[0])));
    assert!(found.is_empty(), "docs/trio.md:\n  {}", found.join("\n  "));
    let mirrored = rows.iter().filter(|cells| cells.len() == 3).count();
    assert!(mirrored >= 60, "{mirrored} are not all that matter");
}

#[test]
fn the_documents_that_name_each_other_exist() {
    for file in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "docs/laws.md",
        "docs/trio.md",
        "docs/migrating.md",
        "docs/protocol.md",
        "docs/codecs.md",
    ] {
        assert!(root().join(file).is_file(), "{file} is named by another document and is not there");
    }
}
