//! What the documents say of the sources: each law that is promised has a test that is named after it.

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

#[test]
fn each_law_has_a_test_that_is_named_after_it() {
    let mut files = Vec::new();
    for folder in ["src", "bridge", "codecs", "macros", "tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    files.retain(|file| !file.ends_with("tests/docs.rs"));
    let sources: Vec<String> = files.iter().map(|file| read(file)).collect();

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

#[test]
fn the_documents_that_name_each_other_exist() {
    for file in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "docs/laws.md",
        "docs/codecs.md",
    ] {
        assert!(root().join(file).is_file(), "{file} is named by another document and is not there");
    }
}
