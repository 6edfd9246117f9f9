//! Makes a failure short: leaves out what happened, piece by piece, as long as the same goes wrong.

use super::{Plan, Wrong, run};

/// How many worlds a search may try.
const TRIES: usize = 600;

/// The shortest plan that was found to end as this one does, and its story. `None` when the plan
/// fails no more, which no plan should: everything follows from its seed.
pub fn shrink(plan: &Plan) -> Option<(Plan, Wrong)> {
    let mut plan = Plan { told: false, ..plan.clone() };
    let wanted = kind_of(&run(&plan).err()?);
    let mut kept: Vec<u32> = plan.only.clone().unwrap_or_else(|| (0..plan.events).collect());
    let (mut piece, mut tries) = (kept.len().div_ceil(2), 0);
    while piece > 0 && tries < TRIES {
        let mut at = 0;
        while at < kept.len() && tries < TRIES {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + piece).min(kept.len()));
            plan.only = Some(fewer.clone());
            tries += 1;
            if run(&plan).is_err_and(|wrong| kind_of(&wrong) == wanted) {
                kept = fewer;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    (plan.only, plan.told) = (Some(kept), true);
    let wrong = run(&plan).err()?;
    Some((plan, wrong))
}

/// What went wrong, without whom and how much.
fn kind_of(wrong: &Wrong) -> String {
    wrong.what.chars().filter(|c| c.is_alphabetic() || *c == ' ').take(40).collect()
}
