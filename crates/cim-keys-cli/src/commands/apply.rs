//! `apply`: brings a ledger to what a file declares.

use std::cell::RefCell;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cim_keys::act::Question;
use cim_keys::app::apply::{self, ApplyError, Prepared, Reviewed};
use cim_keys::app::describe;
use cim_keys::declare;
use cim_keys::declare::{Action, Files, Manifest, Minted, Options, Plan, Problem, Request, SavedPlan};
use cim_keys::files::write_durably;
use cim_keys::session::Session;
use cim_keys::store::AppendedEvent;
use cim_keys::text::{Name, visible};
use clap::Args;
use serde_json::json;

use super::init::{self, CustodyArgs};
use super::input::read_text;
use super::recorded::subject_prefix;
use crate::act::{Acting, EndAct as _, Terminal};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::place;
use crate::ui::Ui;

#[derive(Debug, Args)]
#[command(after_help = "The file's format is described in docs/apply.md, and examples/acme.toml teaches it.")]
pub(crate) struct ApplyArgs {
    /// A file that declares an organization, or a plan that was saved; - is standard input
    file: PathBuf,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Write the plan into this file for review, and change nothing; `apply PLAN` carries it out
    #[arg(long, value_name = "PLAN", conflicts_with = "dry_run")]
    save_plan: Option<PathBuf>,
    /// End what left the file since it was applied last
    #[arg(long)]
    prune: bool,
    /// Bring back what ended although the file has it
    #[arg(long)]
    reinstate: bool,
    #[command(flatten)]
    custody: CustodyArgs,
}

pub(crate) fn run(args: &ApplyArgs, global: &Global, ui: Ui) -> Result {
    let text = read_text(&args.file, declare::MAX_PLAN_BYTES as u64)?;
    if SavedPlan::looks_like_one(text.as_bytes()) {
        return saved(args, &text, global, ui);
    }
    let manifest = manifest(&args.file, &text)?;
    let options = Options { prune: args.prune, reinstate: args.reinstate };
    let request = Request { manifest, name: name_of(&args.file)?, options };

    let folder = place::ledger_or_new(global)?;
    let exists = folder.as_ref().is_some_and(|folder| folder.join(place::LEDGER_FILE).exists());
    if !exists && args.save_plan.is_some() {
        return Err(CliError::usage("a plan is saved for a ledger, and there is none yet")
            .hint("make one with `cim-keys init DIR`, and name it with --ledger DIR"));
    }
    if args.dry_run || args.save_plan.is_some() {
        let prepared = match exists {
            true => apply::prepare(ledger::read(global)?.store(), request)?,
            false => apply::prepare_new(request)?,
        };
        return plan_only(args, &prepared, exists, ui);
    }
    let Some(folder) = folder else {
        return Err(CliError::usage("no ledger was named, and there is none in this folder or above it")
            .hint("name one with --ledger DIR; `apply` makes it when it is absent"));
    };
    let acting = match exists {
        true => Acting::begin(global, args.custody.passphrases(), ui)?,
        false => {
            // The plan is made first: a ledger is not made for a file that can't be applied.
            apply::prepare_new(request.clone())?;
            ledger::nobody_signs_yet(global)?;
            let organization = Some(request.manifest.organization.name.clone());
            let session = init::make(&folder, organization, init::Manner::default(), &args.custody, ui)?;
            ui.done(format_args!("The ledger is made in {}.", visible(&folder.display().to_string())))?;
            Acting::on(ledger::as_actor(session, global)?, args.custody.passphrases(), ui)?
        }
    };
    carry_out(acting, &request, None, ui)
}

/// Reads an apply file.
pub(crate) fn read_manifest(path: &Path) -> Result<Manifest> {
    manifest(path, &read_text(path, declare::MAX_PLAN_BYTES as u64)?)
}

fn manifest(path: &Path, text: &str) -> Result<Manifest> {
    let files = Beside { folder: path.parent().unwrap_or(Path::new("")).to_owned() };
    declare::read(text, &files).map_err(|error| invalid(path, error.0))
}

/// Carries out a plan that was shown and agreed to: exactly this one, or nothing.
pub(crate) fn carry_out_reviewed(acting: Acting, prepared: &Prepared, ui: Ui) -> Result {
    carry_out(acting, prepared.request(), Some(&prepared.reviewed()), ui)
}

/// Carries out a plan that was saved.
fn saved(args: &ApplyArgs, text: &str, global: &Global, ui: Ui) -> Result {
    let saved = SavedPlan::from_text(text)?;
    if args.prune || args.reinstate || args.save_plan.is_some() {
        return Err(CliError::usage("a saved plan is carried out as it is")
            .hint("say --prune, --reinstate and --save-plan when it is made"));
    }
    if args.dry_run {
        let session = ledger::read(global)?;
        let prepared = apply::prepare_saved(session.store(), saved)?;
        return plan_only(args, &prepared, true, ui);
    }
    let acting = Acting::begin(global, args.custody.passphrases(), ui)?;
    let prepared = apply::prepare_saved(acting.session().store(), saved)?;
    show_plan(&prepared.plan, ui)?;
    carry_out_reviewed(acting, &prepared, ui)
}

fn carry_out(mut acting: Acting, request: &Request, reviewed: Option<&Reviewed>, ui: Ui) -> Result {
    let shown = Rc::new(RefCell::new(Shown::default()));
    let mut minted = Minted::default();
    let front = Terminal::new(ui).showing({
        let shown = Rc::clone(&shown);
        move || {
            let plan = shown.borrow_mut().plan.take();
            plan.map_or(Ok(()), |plan| show_plan(&plan, ui))?;
            shown.borrow_mut().asked = true;
            Ok(())
        }
    });
    let done = acting.act_after(
        front,
        |store| apply::before(store, request),
        |draft, before| {
            let plan = apply::apply(draft, request, before, reviewed, &mut minted)?;
            // A plan that was reviewed is confirmed already.
            if reviewed.is_none() && plan.count(Action::End) > 0 {
                draft.ask(ending(&plan));
                shown.borrow_mut().plan = Some(plan.clone());
            }
            Ok::<_, ApplyError>(plan)
        },
    )?;
    let was_shown = reviewed.is_some() || shown.borrow().asked;
    tell(acting.session(), &done.value, &done.events, !was_shown, ui)?;
    done.end(ui)
}

/// What is asked before something ends: about exactly this plan.
fn ending(plan: &Plan) -> Question {
    let ends = plan.count(Action::End);
    let what = if ends == 1 { "1 entry ends".to_owned() } else { format!("{ends} entries end") };
    let question = Question::new(format!("{what}. Apply this?"), "nothing was applied");
    question.about(serde_json::to_string(plan).unwrap_or_default())
}

/// A plan that is to be shown before it is asked about.
#[derive(Default)]
struct Shown {
    plan: Option<Plan>,
    asked: bool,
}

/// Shows a plan, or saves it, without carrying it out.
fn plan_only(args: &ApplyArgs, prepared: &Prepared, exists: bool, ui: Ui) -> Result {
    let mut object = json!({ "position": prepared.position, "plan": prepared.plan });
    if let Some(path) = &args.save_plan {
        let saved = prepared.save();
        let private = saved.as_ref().is_some_and(|saved| !saved.activations.is_empty());
        save_plan(path, &saved.map(|saved| saved.to_text()).unwrap_or_default(), private)?;
        object["saved"] = path.to_string_lossy().into();
    }
    ui.object(&object)?;
    if !exists {
        ui.line("There is no ledger yet: it would be made first.")?;
    }
    show_plan(&prepared.plan, ui)?;
    if prepared.plan != Plan::default() {
        ui.line("")?;
    }
    match &args.save_plan {
        Some(path) => ui.line(format_args!(
            "The plan for position {} is in {}; `cim-keys apply {}` carries it out, and nothing else.",
            prepared.position,
            path.display(),
            path.display()
        )),
        None if prepared.plan.is_empty() => ui.line("Nothing would change: all is so already."),
        None => ui.line("Nothing was changed: this was a dry run."),
    }
}

/// Writes a plan whole, or leaves what was there. Only a plan is replaced: the apply file itself is soon named by mistake.
/// One that holds texts of tokens is for its owner alone.
fn save_plan(path: &Path, text: &str, private: bool) -> Result {
    let cannot = |error: std::io::Error| {
        CliError::failed(format!("cannot write the plan into {}", path.display()))
            .because(&error)
            .hint("name a file in a folder that you may write to")
    };
    if path.is_file() {
        let mut there = Vec::new();
        std::fs::File::open(path).and_then(|file| file.take(4_096).read_to_end(&mut there)).map_err(cannot)?;
        if !there.is_empty() && !SavedPlan::looks_like_one(&there) {
            return Err(CliError::usage(format!(
                "{} is there, and is no saved plan; it stays as it is",
                path.display()
            ))
            .hint("name another file with --save-plan"));
        }
    }
    write_durably(path, text.as_bytes(), private).map_err(cannot)
}

/// A plan as people read it.
pub(crate) fn show_plan(plan: &Plan, ui: Ui) -> Result {
    let width = plan.steps.iter().map(|step| step.entry.len()).max().unwrap_or(0);
    let mut fleet = Fleet::default();
    for step in &plan.steps {
        if fleet.hides(&step.entry, Some(step.action), ui)? {
            continue;
        }
        let (mark, paint) = match step.action {
            Action::Add => ("+", Paint::Good),
            Action::Change => ("~", Paint::Neutral),
            Action::End => ("-", Paint::Bad),
            Action::Reinstate => ("^", Paint::Neutral),
            _ => ("?", Paint::Neutral),
        };
        let reason = step.reason.as_ref().map(|reason| format!("  ({reason})")).unwrap_or_default();
        let text = format!("  {mark} {:width$}  {}{reason}", step.entry, step.name);
        ui.painted(paint.style(), visible(&text))?;
        for change in &step.changes {
            let nothing = "nothing".to_owned();
            let (from, to) = (change.from.as_ref().unwrap_or(&nothing), change.to.as_ref().unwrap_or(&nothing));
            ui.line(format_args!("      {}: {} -> {}", visible(&change.field), visible(from), visible(to)))?;
        }
    }
    for (heading, remarks) in [
        ("No longer in the file, and still recorded (--prune ends them):", &plan.proposed),
        ("In the file, and not brought back (--reinstate does that):", &plan.kept_out),
        ("Changed in the ledger since, and kept:", &plan.kept),
    ] {
        fleet.more(ui)?;
        if !remarks.is_empty() {
            ui.line(heading)?;
        }
        for remark in remarks {
            if fleet.hides(&remark.entry, None, ui)? {
                continue;
            }
            ui.line(format_args!("  ! {}  {}: {}", remark.entry, visible(&remark.name), visible(&remark.text)))?;
        }
    }
    fleet.more(ui)?;
    if !plan.is_empty() {
        let counts = [
            (Action::Add, "to add"),
            (Action::Change, "to change"),
            (Action::End, "to end"),
            (Action::Reinstate, "to bring back"),
        ];
        let counts = counts.iter().map(|(action, what)| (plan.count(*action), what)).filter(|(count, _)| *count > 0);
        ui.line(counts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}

/// Members of a fleet come by the thousand, and the first of them speak for the rest.
#[derive(Default)]
struct Fleet {
    path: String,
    action: Option<Action>,
    seen: usize,
}

impl Fleet {
    const SHOWN: usize = 3;

    /// Whether a line is left out because it is one more of the fleet of the line before.
    fn hides(&mut self, entry: &str, action: Option<Action>, ui: Ui) -> Result<bool> {
        let path = match entry.rsplit_once('.') {
            Some((path, _)) if path.contains(".fleets.") => path,
            _ => "",
        };
        if self.path != path || self.action != action {
            self.more(ui)?;
            (self.path, self.action) = (path.to_owned(), action);
        }
        self.seen += usize::from(!path.is_empty());
        Ok(self.seen > Self::SHOWN)
    }

    /// Says how many were left out.
    fn more(&mut self, ui: Ui) -> Result {
        let left_out = self.seen.saturating_sub(Self::SHOWN);
        self.seen = 0;
        if left_out == 0 { Ok(()) } else { ui.line(format_args!("    … and {left_out} more of {}", self.path)) }
    }
}

enum Paint {
    Good,
    Neutral,
    Bad,
}

impl Paint {
    const fn style(&self) -> anstyle::Style {
        use anstyle::AnsiColor::{Green, Red, Yellow};
        match self {
            Self::Good => Green.on_default(),
            Self::Neutral => Yellow.on_default(),
            Self::Bad => Red.on_default(),
        }
    }
}

/// Says what was done, and how to look at it.
fn tell(session: &Session, plan: &Plan, events: &[AppendedEvent], with_plan: bool, ui: Ui) -> Result {
    let folder = session.place().folder();
    let position = session.store().end()?;
    if ui.is_json() {
        let prefix = subject_prefix(folder);
        let correlation_id = events.first().map(|event| event.event.correlation_id);
        let events: Vec<_> = events.iter().map(|event| describe::appended(event, &prefix)).collect();
        return ui.object(&json!({
            "changed": !events.is_empty(),
            "position": position,
            "correlation_id": correlation_id,
            "plan": plan,
            "events": events,
        }));
    }
    if with_plan {
        show_plan(plan, ui)?;
    }
    let Some(first) = events.first() else {
        let agrees = plan.proposed.is_empty() && plan.kept_out.is_empty() && plan.kept.is_empty();
        return ui.done(if agrees { "Nothing changed: the ledger is what the file says." } else { "Nothing changed." });
    };
    ui.line("")?;
    ui.done(format_args!("Applied: {} events, positions {} to {position}.", events.len(), first.position))?;
    ui.line(format_args!("All of them bear the correlation id {}.", first.event.correlation_id))?;
    ui.line("")?;
    let place = visible(&folder.display().to_string()).into_owned();
    ui.line("Look at it:")?;
    ui.line(format_args!("  cim-keys --ledger {place} event list"))?;
    ui.line(format_args!("  cim-keys --ledger {place} person list"))?;
    ui.line(format_args!("  cim-keys --ledger {place} verify"))
}

/// A file that can't be applied: all of its problems.
fn invalid(path: &Path, problems: Vec<Problem>) -> CliError {
    let count = if problems.len() == 1 { "a problem".to_owned() } else { format!("{} problems", problems.len()) };
    let told = CliError::usage(format!("{} has {count}; nothing was applied", path.display()));
    let shown = problems.iter().take(50).fold(told, |told, problem| told.detail(problem.to_string()));
    let shown = match problems.len() {
        0..=50 => shown,
        more => shown.detail(format!("and {} more", more - 50)),
    };
    shown.hint("docs/apply.md describes the format")
}

/// The name under which a file is remembered: its own, without folder and extension.
pub(crate) fn name_of(path: &Path) -> Result<Name> {
    if path == Path::new("-") {
        return Ok(Name::typed("standard input")?);
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Name::typed(&stem).map_err(|error| CliError::usage("the file's name can't be remembered").because(&error))
}

/// Files that an apply file names: relative to its folder, and inside it.
struct Beside {
    folder: PathBuf,
}

impl Files for Beside {
    fn read(&self, name: &str) -> std::result::Result<String, String> {
        use std::path::Component;
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside {
            return Err(format!("{}: name a file in the apply file's folder or below", visible(name)));
        }
        let path = self.folder.join(name);
        read_text(&path, 1024 * 1024).map_err(|error| {
            let lines = error.lines().into_iter().map(|(_, text)| text).take(2).collect::<Vec<_>>();
            lines.join(": ")
        })
    }
}
