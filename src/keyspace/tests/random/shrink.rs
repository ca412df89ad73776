//! Makes a sequence that fails as short as it gets: by halves of it, quarters and so on, event by event, and step by step
//! within the events.

use super::super::model::Step;
use super::event::Event;

/// The shortest part of `events` found that still `fails`.
pub(super) fn shrink(mut events: Vec<Event>, fails: &dyn Fn(&[Event]) -> bool) -> Vec<Event> {
    let mut size = (events.len() / 2).max(1);
    loop {
        let before = events.len();
        let mut at = 0;
        while at < events.len() {
            let mut fewer = events.clone();
            fewer.drain(at..(at + size).min(events.len()));
            if fails(&fewer) { events = fewer } else { at += size }
        }
        if size == 1 && events.len() == before {
            break;
        }
        size = (size / 2).max(1);
    }
    for at in 0..events.len() {
        while let Some(simpler) = simpler(&events[at]).into_iter().find_map(|simpler| {
            let mut changed = events.clone();
            changed[at] = simpler;
            fails(&changed).then_some(changed)
        }) {
            events = simpler;
        }
    }
    events
}

/// The same event with one step fewer, each in turn.
fn simpler(event: &Event) -> Vec<Event> {
    let without = |steps: &[Step]| -> Vec<Vec<Step>> {
        let each = (0..steps.len()).filter(|_| steps.len() > 1);
        each.map(|index| [&steps[..index], &steps[index + 1..]].concat()).collect()
    };
    match event {
        Event::Do(Step::Together(steps)) => {
            without(steps).into_iter().map(|steps| Event::Do(Step::Together(steps))).collect()
        }
        Event::Do(Step::Pipeline(steps)) => {
            without(steps).into_iter().map(|steps| Event::Do(Step::Pipeline(steps))).collect()
        }
        Event::Unawaited(steps) => without(steps).into_iter().map(Event::Unawaited).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_is_needed_stays_and_nothing_else() {
    let events: Vec<Event> = (0..90)
        .map(|number| match number {
            17 => Event::Unawaited(vec![Step::Sync, Step::FlushAll, Step::Sync, Step::Tick]),
            70 => Event::Heal,
            _ => Event::Compare,
        })
        .collect();
    let flushes = |event: &Event| match event {
        Event::Unawaited(steps) => steps.iter().any(|step| matches!(step, Step::FlushAll)),
        _ => false,
    };
    let fails = |events: &[Event]| {
        let first = events.iter().position(flushes);
        first.is_some_and(|first| events[first..].iter().any(|event| matches!(event, Event::Heal)))
    };
    let short = shrink(events, &fails);
    assert_eq!(format!("{short:?}"), "[Unawaited([FlushAll]), Heal]");
}
