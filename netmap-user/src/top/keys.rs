//! What keys mean.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::Pane;

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To end it.
    Quit,
    /// Another list.
    Pane(Pane),
    /// The one to the right.
    NextPane,
    /// The one to the left.
    PreviousPane,
    /// To move among the rows, down.
    Move(isize),
    /// By so many screens.
    Page(isize),
    /// The first row.
    First,
    /// The last one.
    Last,
    /// To look inside.
    Enter,
    /// Out again.
    Back,
    /// To sort by the next column.
    NextColumn,
    /// By the one before.
    PreviousColumn,
    /// The other way around.
    Reverse,
    /// To stop reading, or go on.
    Pause,
    /// To see the keys, or no longer.
    Help,
    /// To see reasons other than drops, or no longer.
    AllReasons,
    /// To write a filter.
    Filter,
    /// A character of it.
    Type(char),
    /// One less.
    Erase,
    /// It is written.
    Done,
}

/// What keys mean now: characters are a filter's while one is `typing`.
pub fn action(key: KeyEvent, typing: bool) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if is_control => return Some(Action::Quit),
        KeyCode::Esc => return Some(Action::Back),
        KeyCode::Up => return Some(Action::Move(-1)),
        KeyCode::Down => return Some(Action::Move(1)),
        KeyCode::PageUp => return Some(Action::Page(-1)),
        KeyCode::PageDown => return Some(Action::Page(1)),
        _ => {}
    }
    if typing {
        return match key.code {
            KeyCode::Enter => Some(Action::Done),
            KeyCode::Backspace => Some(Action::Erase),
            KeyCode::Char(character) if !is_control => Some(Action::Type(character)),
            _ => None,
        };
    }
    Some(match key.code {
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Char(digit @ '1'..='5') => Action::Pane(Pane::of_digit(digit)?),
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => Action::NextPane,
        KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => Action::PreviousPane,
        KeyCode::Char('k') => Action::Move(-1),
        KeyCode::Char('j') => Action::Move(1),
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Enter => Action::Enter,
        KeyCode::Backspace => Action::Back,
        KeyCode::Char('s') => Action::NextColumn,
        KeyCode::Char('S') => Action::PreviousColumn,
        KeyCode::Char('r') => Action::Reverse,
        KeyCode::Char('a') => Action::AllReasons,
        KeyCode::Char('/') => Action::Filter,
        KeyCode::Char(' ' | 'p') => Action::Pause,
        KeyCode::Char('?') | KeyCode::F(1) => Action::Help,
        _ => return None,
    })
}

/// The keys, for the help.
pub const HELP: [(&str, &str); 12] = [
    ("1 to 5, Tab", "ports, containers, flows, drops, tables"),
    ("Up Down j k", "move; PgUp PgDn Home End too"),
    (
        "Enter",
        "look inside: a port's flows, a container's ports and flows, what a reason means",
    ),
    ("Esc", "back; without the filter"),
    (
        "/",
        "filter: any part of any column; an address or a port finds flows in the whole table",
    ),
    ("s S", "sort by the next column, or the one before"),
    ("r", "sort the other way around"),
    ("a", "drops: all other reasons too, or no longer"),
    ("Space", "stop reading, or go on"),
    ("?", "this help, or no longer"),
    ("q Ctrl-C", "quit"),
    (
        "",
        "Rates are bytes a second at layer 3, k M G by thousands; reasons count packets. IN is to the container.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    #[test]
    fn keys_mean_what_the_help_says() {
        for (code, expected) in [
            (KeyCode::Char('q'), Action::Quit),
            (KeyCode::Char('3'), Action::Pane(Pane::Flows)),
            (KeyCode::Tab, Action::NextPane),
            (KeyCode::Char(' '), Action::Pause),
            (KeyCode::Char('/'), Action::Filter),
            (KeyCode::Enter, Action::Enter),
            (KeyCode::Esc, Action::Back),
        ] {
            assert_eq!(action(press(code), false), Some(expected));
        }
        assert_eq!(action(press(KeyCode::Char('z')), false), None);
        assert_eq!(action(press(KeyCode::Char('6')), false), None);
        let release = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(action(release, false), None);
    }

    #[test]
    fn while_a_filter_is_written_letters_are_letters() {
        assert_eq!(action(press(KeyCode::Char('q')), true), Some(Action::Type('q')));
        assert_eq!(action(press(KeyCode::Char(' ')), true), Some(Action::Type(' ')));
        assert_eq!(action(press(KeyCode::Enter), true), Some(Action::Done));
        assert_eq!(action(press(KeyCode::Backspace), true), Some(Action::Erase));
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        for typing in [false, true] {
            assert_eq!(action(control_c, typing), Some(Action::Quit));
        }
    }
}
