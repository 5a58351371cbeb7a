//! Who vouches for a whole history: which acts their actors signed, which they only claim, and whether what had to be
//! signed is.

mod passing;
mod tally;

use std::collections::{BTreeSet, HashMap};

use cid::Cid;

pub use passing::{Passing, PassingError};
pub use tally::{Claims, Tally, Vouched};

use super::signatures::{Nearby, Signature, Verdict, signatures_among};
use crate::events::{Actor, EventAttested, EventData};
use crate::ledger::{Entity, EntityRef, Standing, ViewError, is_about_the_ledgers_key};
use crate::parallel::in_parts;
use crate::store::{ReadError, Recorded, Store, Which};
use crate::verify::{Layer, Problem};

/// How many void signatures and problems are listed.
const MOST: usize = 1_000;

/// How many events are in memory at a time.
const BATCH: usize = 4_096;

/// How many signatures are worth another thread.
const LEAST: usize = 32;

/// Follows the history once, and looks at every signature. What it takes from the tables of entities is only the key of
/// each signature and what that key could speak for; that those follow from the log is for [`Store::verify`] to say.
///
/// The signatures of some thousand events are looked at by all processors at once, for that is what takes the time; what follows
/// from them is put together in the order of the log.
///
/// # Errors
/// When the ledger can't be read.
pub fn vouched(store: &Store, progress: &mut dyn FnMut(u64)) -> Result<Vouched, ReadError> {
    let mut walk =
        Walk { store, vouched: Vouched::default(), index: HashMap::new(), required: BTreeSet::new(), due: None };
    let (mut events, mut batch) = (store.iter(1), Vec::with_capacity(BATCH));
    loop {
        for recorded in events.by_ref().take(BATCH) {
            batch.push(recorded?);
        }
        let Some(last) = batch.last().map(|recorded| recorded.position) else { break };
        walk.batch(&batch)?;
        progress(last);
        batch.clear();
    }
    walk.overdue(None);
    let mut vouched = walk.vouched;
    name(store, &mut vouched.actors)?;
    Ok(vouched)
}

/// The same, where the history was followed already, and who claims what was counted: only if there is a signature, or there
/// had to be one, it is followed once more.
///
/// # Errors
/// When the ledger can't be read.
pub fn vouched_among(store: &Store, claims: &Claims, progress: &mut dyn FnMut(u64)) -> Result<Vouched, ReadError> {
    let Some(mut vouched) = claims.unsigned() else { return vouched(store, progress) };
    name(store, &mut vouched.actors)?;
    Ok(vouched)
}

struct Walk<'s> {
    store: &'s Store,
    vouched: Vouched,
    /// Where each actor stands in the list.
    index: HashMap<String, usize>,
    /// The types that must be signed from here on.
    required: BTreeSet<String>,
    /// The event that the next one must be the signature of.
    due: Option<Due>,
}

struct Due {
    position: u64,
    cid: Cid,
    event_type: String,
}

/// A signature that was looked at.
struct Looked {
    attested: EventAttested,
    /// The actor of what it signs, where that is recorded.
    actor: Option<String>,
    /// All signatures over the same event, the oldest first.
    all: Vec<Signature>,
}

/// Looks at a signature; nothing for other events.
fn look(store: &Store, recorded: &Recorded, nearby: &Nearby<'_>) -> Result<Option<Looked>, ReadError> {
    if recorded.envelope()?.event_type != "EventAttested" {
        return Ok(None);
    }
    let EventData::EventAttested(attested) = recorded.event()?.data else { return Ok(None) };
    let of = attested.event.cid();
    let actor = match nearby.get(of) {
        Some(act) => Some(act.envelope()?.actor.to_owned()),
        None => match store.event(&Which::Cid(*of)) {
            Ok(act) => Some(act.envelope()?.actor.to_owned()),
            Err(_) => None,
        },
    };
    let all = signatures_among(store, of, nearby)?;
    Ok(Some(Looked { attested, actor, all }))
}

impl Walk<'_> {
    /// Takes the next events.
    fn batch(&mut self, batch: &[Recorded]) -> Result<(), ReadError> {
        let nearby: Nearby<'_> = batch.iter().map(|recorded| (recorded.cid, recorded)).collect();
        let store = self.store;
        let looked = in_parts(batch, LEAST, |part| {
            part.iter().map(|recorded| look(store, recorded, &nearby)).collect::<Result<Vec<_>, _>>()
        });
        let mut looked = looked.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten();
        batch.iter().try_for_each(|recorded| self.event(recorded, looked.next().flatten()))
    }

    fn event(&mut self, recorded: &Recorded, looked: Option<Looked>) -> Result<(), ReadError> {
        let envelope = recorded.envelope()?;
        match envelope.event_type {
            "EventAttested" => {
                self.signature(recorded, looked);
                return Ok(());
            }
            "SignaturesRequired" => {
                self.demand(recorded, envelope.event_type);
                if let EventData::SignaturesRequired(event) = recorded.event()?.data {
                    self.required = event.event_types.iter().map(ToString::to_string).collect();
                }
            }
            other if self.required.contains(other) => {
                let data = recorded.event()?.data;
                match self.store.view(|view| is_about_the_ledgers_key(view, &data))? {
                    Ok(true) => self.overdue(None),
                    _ => self.demand(recorded, other),
                }
            }
            _ => self.overdue(None),
        }
        self.vouched.tally(&mut self.index, envelope.actor).claimed += 1;
        Ok(())
    }

    fn demand(&mut self, recorded: &Recorded, event_type: &str) {
        self.overdue(None);
        let (position, cid) = (recorded.position, recorded.cid);
        self.due = Some(Due { position, cid, event_type: event_type.to_owned() });
    }

    /// The event that had to be signed is not, unless this is its signature.
    fn overdue(&mut self, signed: Option<&Cid>) {
        let Some(due) = self.due.take() else { return };
        if signed != Some(&due.cid) {
            let Due { position, cid, event_type } = due;
            self.problem(position, cid, format!("a {event_type} had to be signed by whoever acted, and is not"));
        }
    }

    fn signature(&mut self, recorded: &Recorded, looked: Option<Looked>) {
        self.vouched.signatures += 1;
        // One of a newer schema says nothing here.
        let Some(Looked { attested, actor: name, all }) = looked else { return };
        let of = attested.event.cid();
        let Some(name) = name else {
            self.overdue(None);
            let what = format!("it signs {of}, which is not recorded");
            return self.problem(recorded.position, recorded.cid, what);
        };
        let actor = name.parse::<Actor>().ok();
        let vouches = |it: &Signature| actor.as_ref().is_some_and(|actor| it.vouches_for(actor));
        let this = all.iter().find(|it| it.cid == recorded.cid);
        let good = this.is_some_and(vouches);
        self.overdue(good.then_some(of));
        if let Some(void) =
            this.filter(|it| !matches!(it.verdict, Verdict::Good | Verdict::NoStanding(Standing::NotAPerson)))
        {
            if void.verdict == Verdict::Forged {
                let what = format!("the signature is not one of key {} over {of}", attested.key_id);
                self.problem(recorded.position, recorded.cid, what);
            }
            if self.vouched.void.len() < MOST {
                self.vouched.void.push(void.clone());
            }
        }
        // The first that vouches for its actor makes the act a signed one.
        if good && all.iter().find(|it| vouches(it)).map(|it| it.cid) == Some(recorded.cid) {
            let tally = self.vouched.tally(&mut self.index, &name);
            tally.claimed = tally.claimed.saturating_sub(1);
            tally.signed += 1;
        }
    }

    fn problem(&mut self, position: u64, cid: Cid, what: String) {
        if self.vouched.problems.len() < MOST {
            self.vouched.problems.push(Problem { layer: Layer::Act, position: Some(position), cid: Some(cid), what });
        }
    }
}

fn name(store: &Store, actors: &mut [Tally]) -> Result<(), ReadError> {
    let named = store.view(|view| -> Result<(), ViewError> {
        for tally in actors {
            if let Ok(Actor::Person(id)) = tally.actor.parse() {
                let person: Option<Entity> = view.get(EntityRef::from(id))?;
                tally.name = person.and_then(|person| person.facts.name().map(ToString::to_string));
            }
        }
        Ok(())
    })?;
    named.map_err(|error| ReadError::Damaged { position: 0, detail: error.to_string() })
}
