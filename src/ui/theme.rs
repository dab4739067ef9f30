//! Colours and glyphs. Colour only repeats what a glyph, a word or weight says already.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

use super::settings::{ColorTheme, Settings};

/// What a piece of text is, for its style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Plain,
    Dim,
    Strong,
    Accent,
    Held,
    Good,
    Bad,
    Edited,
    /// A badge in the status line.
    Badge,
    HeldBadge,
    /// The row under the cursor of the pane that has the keys.
    Cursor,
    /// The row under the cursor of a pane that does not have the keys.
    FaintCursor,
    /// What is searched for.
    Found,
    JsonKey,
    JsonString,
    JsonNumber,
    JsonWord,
}

/// Colours and glyphs as the operator's terminal wants them.
#[derive(Clone, Copy)]
pub(crate) struct Theme {
    colors: ColorTheme,
    is_light: bool,
    ascii: bool,
}

/// Signs that have an ASCII stand-in.
#[derive(Clone, Copy)]
pub(crate) struct Glyphs {
    pub(crate) open: &'static str,
    pub(crate) folded: &'static str,
    pub(crate) live: &'static str,
    pub(crate) closed: &'static str,
    pub(crate) full: &'static str,
    pub(crate) empty: &'static str,
    pub(crate) dot: &'static str,
    pub(crate) line: &'static str,
    /// A shadow answered otherwise.
    pub(crate) differs: &'static str,
    /// Lint found something.
    pub(crate) found: &'static str,
    /// Heights, from nothing to full.
    pub(crate) levels: &'static [&'static str],
}

const UNICODE: Glyphs = Glyphs {
    open: "▾",
    folded: "▸",
    live: "●",
    closed: "○",
    full: "━",
    empty: "─",
    dot: "·",
    line: "─",
    differs: "≠",
    found: "▲",
    levels: &[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
};

const ASCII: Glyphs = Glyphs {
    open: "v",
    folded: ">",
    live: "o",
    closed: ".",
    full: "#",
    empty: "-",
    dot: "-",
    line: "-",
    differs: "%",
    found: "^",
    levels: &[" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"],
};

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

impl Theme {
    pub(crate) fn of(settings: &Settings) -> Self {
        let colors = if settings.mono { ColorTheme::Mono } else { settings.theme };
        Self { colors, is_light: settings.is_light, ascii: settings.ascii }
    }

    pub(crate) fn glyphs(self) -> &'static Glyphs {
        if self.ascii { &ASCII } else { &UNICODE }
    }

    pub(crate) fn border(self) -> border::Set<'static> {
        if self.ascii { ASCII_BORDER } else { border::PLAIN }
    }

    pub(crate) fn style(self, role: Role) -> Style {
        let mut style = Style::new().add_modifier(weight(role));
        if role != Role::Dim {
            // Drawn over something dim, such as the frame of a neighbour.
            style = style.remove_modifier(Modifier::DIM);
        }
        let ground = self.ground().filter(|_| role == Role::Cursor);
        if let Some(ground) = ground {
            return style.remove_modifier(Modifier::REVERSED).add_modifier(Modifier::BOLD).bg(ground);
        }
        match self.colour(role) {
            Some(colour) if matches!(role, Role::Badge | Role::HeldBadge) => self.badge(colour),
            // What is dim has a grey of its own there.
            Some(colour) if role == Role::Dim => style.remove_modifier(Modifier::DIM).fg(colour),
            Some(colour) => style.fg(colour),
            None => style,
        }
    }

    /// Letters on a colour: of their own, as the terminal's ground, which a mere turning around would show, may be as light as that colour.
    fn badge(self, colour: Color) -> Style {
        let bold = Modifier::BOLD;
        let style = Style::new().remove_modifier(Modifier::DIM | Modifier::REVERSED).bg(colour);
        match self.colors {
            ColorTheme::Light => style.fg(Color::Indexed(231)).add_modifier(bold),
            ColorTheme::Contrast if self.is_light => style.fg(Color::Indexed(231)).add_modifier(bold),
            ColorTheme::Dark => style.fg(Color::Indexed(16)).add_modifier(bold),
            // Bold black is grey on many terminals.
            _ => style.fg(Color::Black).remove_modifier(bold),
        }
    }

    /// The style of a piece of text in the row under the cursor: what a colour means there stays to be seen.
    pub(crate) fn under_cursor(self, style: Style, role: Role) -> Style {
        let own = self.style(role);
        let means = [Role::Bad, Role::Held, Role::Edited].map(|role| self.colour(role));
        match style.fg {
            Some(any) if self.ground().is_some() => own.fg(any),
            Some(meant) if means.contains(&Some(meant)) => own.fg(meant),
            _ => own,
        }
    }

    /// What the row under the cursor stands on, where it is not simply turned around.
    fn ground(self) -> Option<Color> {
        match self.colors {
            ColorTheme::Dark => Some(Color::Indexed(238)),
            ColorTheme::Light => Some(Color::Indexed(253)),
            _ => None,
        }
    }

    fn colour(self, role: Role) -> Option<Color> {
        let of = |[accent, held, good, bad, edited, dim]: [u8; 6]| {
            Some(Color::Indexed(match role {
                Role::Plain | Role::Strong | Role::Cursor | Role::FaintCursor => return None,
                Role::Dim => dim,
                Role::Accent | Role::Badge | Role::JsonKey => accent,
                Role::Held | Role::HeldBadge | Role::JsonNumber | Role::Found => held,
                Role::Good | Role::JsonString => good,
                Role::Bad => bad,
                Role::Edited | Role::JsonWord => edited,
            }))
        };
        match self.colors {
            ColorTheme::Mono => None,
            ColorTheme::Auto | ColorTheme::Ansi => colour(role),
            // Of the 256 colours those that stand out from the ground by 4.5 to 1 and more.
            ColorTheme::Dark => of([80, 221, 114, 210, 183, 246]),
            ColorTheme::Light => of([24, 94, 22, 124, 90, 241]),
            // Nothing is dim, and colours are those that stand out most: bright ones on black, by 7 to 1 and more on white.
            ColorTheme::Contrast if role == Role::Dim => Some(Color::Reset),
            ColorTheme::Contrast if self.is_light => of([18, 58, 22, 88, 54, 16]),
            ColorTheme::Contrast => colour(role).map(bright),
        }
    }

    pub(crate) fn frame(self, focused: bool) -> Style {
        self.style(if focused { Role::Accent } else { Role::Dim })
    }
}

fn weight(role: Role) -> Modifier {
    match role {
        Role::Plain | Role::Good | Role::JsonKey | Role::JsonString | Role::JsonNumber | Role::JsonWord => {
            Modifier::empty()
        }
        Role::Dim => Modifier::DIM,
        Role::Strong | Role::Accent | Role::Held | Role::Bad | Role::Edited | Role::FaintCursor => Modifier::BOLD,
        Role::Found => Modifier::BOLD.union(Modifier::UNDERLINED),
        Role::Badge | Role::HeldBadge => Modifier::BOLD.union(Modifier::REVERSED),
        Role::Cursor => Modifier::REVERSED,
    }
}

fn bright(colour: Color) -> Color {
    match colour {
        Color::Cyan => Color::LightCyan,
        Color::Yellow => Color::LightYellow,
        Color::Green => Color::LightGreen,
        Color::Red => Color::LightRed,
        Color::Magenta => Color::LightMagenta,
        other => other,
    }
}

/// The colour of a role: of the terminal's sixteen, only those that can be read on black and on white.
fn colour(role: Role) -> Option<Color> {
    match role {
        Role::Plain | Role::Dim | Role::Strong | Role::Cursor | Role::FaintCursor => None,
        Role::Accent | Role::Badge | Role::JsonKey => Some(Color::Cyan),
        Role::Held | Role::HeldBadge | Role::JsonNumber | Role::Found => Some(Color::Yellow),
        Role::Good | Role::JsonString => Some(Color::Green),
        Role::Bad => Some(Color::Red),
        Role::Edited | Role::JsonWord => Some(Color::Magenta),
    }
}
