//! Which events have happened in which states.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::Model;
use crate::schedule::Schedule;
use crate::states::{Far, Near};
use crate::words::Event;

/// How often each event has happened in each state of each side.
#[derive(Default)]
pub(crate) struct Coverage {
    near: BTreeMap<(Near, Event), usize>,
    far: BTreeMap<(Far, Event), usize>,
}

impl Coverage {
    /// Where two sides race, it is not known in which state something has happened.
    pub(crate) fn add(&mut self, schedule: &Schedule) {
        if schedule.terms.races {
            return;
        }
        let mut model = Model::new(schedule.terms);
        for &event in &schedule.events {
            *self.near.entry((model.near, event)).or_default() += 1;
            *self.far.entry((model.far, event)).or_default() += 1;
            model.apply(event, 0);
        }
    }

    /// The cells that are empty though they are possible, and those that are not though they are impossible.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let near = Near::ALL.into_iter().flat_map(|state| Event::ALL.map(|event| (state, event))).filter_map(|cell| {
            let met = self.near.contains_key(&cell);
            (met == cell.0.bars(cell.1).is_some()).then(|| format!("near {cell:?}, met: {met}"))
        });
        let far = Far::ALL.into_iter().flat_map(|state| Event::ALL.map(|event| (state, event))).filter_map(|cell| {
            let met = self.far.contains_key(&cell);
            (met == cell.0.bars(cell.1).is_some()).then(|| format!("far {cell:?}, met: {met}"))
        });
        near.chain(far).collect()
    }
}

/// Numbers the reasons in the order in which they come up.
#[derive(Default)]
struct Reasons(Vec<&'static str>);

impl Reasons {
    fn letter(&mut self, reason: &'static str) -> char {
        let at = self.0.iter().position(|known| *known == reason).unwrap_or_else(|| {
            self.0.push(reason);
            self.0.len() - 1
        });
        char::from(b'a' + u8::try_from(at).expect("there are few reasons"))
    }

    fn cell(&mut self, met: Option<&usize>, bars: Option<&'static str>) -> String {
        match (met, bars) {
            (None, Some(reason)) => self.letter(reason).to_string(),
            (met, _) => met.map_or("EMPTY".to_owned(), usize::to_string),
        }
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, cells: impl Iterator<Item = String>) -> fmt::Result {
    write!(f, "{name:<14}")?;
    for cell in cells {
        write!(f, "{cell:>10}")?;
    }
    writeln!(f)
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons = Reasons::default();
        row(f, "opener", Near::ALL.iter().map(|state| format!("{state:?}")))?;
        for event in Event::ALL {
            let cells = Near::ALL.map(|state| reasons.cell(self.near.get(&(state, event)), state.bars(event)));
            row(f, &format!("{event:?}"), cells.into_iter())?;
        }
        row(f, "foreign task", Far::ALL.iter().map(|state| format!("{state:?}")))?;
        for event in Event::ALL {
            let cells = Far::ALL.map(|state| reasons.cell(self.far.get(&(state, event)), state.bars(event)));
            row(f, &format!("{event:?}"), cells.into_iter())?;
        }
        writeln!(f, "impossible, because:")?;
        reasons.0.clone().into_iter().try_for_each(|reason| writeln!(f, "  {} {reason}", reasons.letter(reason)))
    }
}
