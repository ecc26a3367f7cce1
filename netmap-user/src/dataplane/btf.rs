//! Types in words, out of BTF (`Documentation/bpf/btf.rst`); aya 0.14 keeps what it reads of it to itself.

use std::fmt;

/// A reader of BTF that this machine's compiler has made.
pub(super) struct Btf<'a> {
    strings: &'a [u8],
    /// Each type with what follows its head; type 0 is `void`.
    types: Vec<(Head, &'a [u8])>,
}

/// The beginning of each type (`struct btf_type`).
#[derive(Clone, Copy)]
struct Head {
    name: u32,
    info: u32,
    /// Bytes, or another type, by kind.
    size: u32,
}

/// As deep as types are followed: lists that lead back to themselves end somewhere.
const DEEPEST: usize = 12;

impl<'a> Btf<'a> {
    /// `None` for what is no BTF.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let word = |at: usize| word(bytes, at);
        let length = word(4)?;
        let part = |offset: u32, size: u32| {
            let from = usize::try_from(length.checked_add(offset)?).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(size).ok()?)?)
        };
        let mut rest = part(word(8)?, word(12)?)?;
        let strings = part(word(16)?, word(20)?)?;
        let void = Head {
            name: 0,
            info: 0,
            size: 0,
        };
        let mut types: Vec<(Head, &[u8])> = vec![(void, &[])];
        while let Some((bytes, behind)) = rest.split_at_checked(12) {
            let head = Head {
                name: self::word(bytes, 0)?,
                info: self::word(bytes, 4)?,
                size: self::word(bytes, 8)?,
            };
            let (more, behind) = behind.split_at_checked(head.more())?;
            types.push((head, more));
            rest = behind;
        }
        Some(Self { strings, types })
    }

    /// A type with all that it is made of: names, sizes, places.
    pub(super) fn describe(&self, id: u32) -> String {
        let mut text = String::new();
        self.write(id, DEEPEST, &mut text);
        text
    }

    fn write(&self, id: u32, deep: usize, text: &mut String) {
        let Some((head, more)) = usize::try_from(id).ok().and_then(|id| self.types.get(id)) else {
            return text.push('?');
        };
        add(text, format_args!("{}:{}", head.kind(), self.string(head.name)));
        let Some(deep) = deep.checked_sub(1) else {
            return;
        };
        let words = || {
            more.chunks_exact(4)
                .map(|bytes| word(bytes, 0).unwrap_or_default())
        };
        match head.kind() {
            // Members: name, type, place in bits.
            Head::STRUCT | Head::UNION => {
                add(text, format_args!("[{}]{{", head.size));
                let words: Vec<u32> = words().collect();
                for member in words.chunks_exact(3) {
                    let &[name, id, place] = member else { continue };
                    add(text, format_args!("{}@{place}=", self.string(name)));
                    self.write(id, deep, text);
                    text.push(',');
                }
                text.push('}');
            }
            // Of which type, by which type, how many.
            Head::ARRAY => {
                let words: Vec<u32> = words().collect();
                if let &[id, _, count] = &words[..] {
                    add(text, format_args!("[{count}]"));
                    self.write(id, deep, text);
                }
            }
            Head::INT | Head::FLOAT => add(text, format_args!("[{}]", head.size)),
            Head::ENUM | Head::ENUM64 => {
                add(text, format_args!("[{}]", head.size));
                words().for_each(|word| add(text, format_args!("{word},")));
            }
            Head::TYPEDEF | Head::VOLATILE | Head::CONST | Head::RESTRICT | Head::TYPE_TAG | Head::PTR => {
                text.push('>');
                self.write(head.size, deep, text);
            }
            _ => {}
        }
    }

    fn string(&self, offset: u32) -> String {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.strings.get(offset..));
        let name = rest.and_then(|rest| rest.split(|byte| *byte == 0).next());
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    }
}

impl Head {
    const INT: u32 = 1;
    const PTR: u32 = 2;
    const ARRAY: u32 = 3;
    const STRUCT: u32 = 4;
    const UNION: u32 = 5;
    const ENUM: u32 = 6;
    const TYPEDEF: u32 = 8;
    const VOLATILE: u32 = 9;
    const CONST: u32 = 10;
    const RESTRICT: u32 = 11;
    const FUNC_PROTO: u32 = 13;
    const VAR: u32 = 14;
    const DATASEC: u32 = 15;
    const FLOAT: u32 = 16;
    const DECL_TAG: u32 = 17;
    const TYPE_TAG: u32 = 18;
    const ENUM64: u32 = 19;

    const fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    /// How many bytes follow the head.
    const fn more(self) -> usize {
        let count = (self.info & 0xffff) as usize;
        match self.kind() {
            Self::INT | Self::VAR | Self::DECL_TAG => 4,
            Self::ARRAY => 12,
            Self::STRUCT | Self::UNION | Self::DATASEC | Self::ENUM64 => 12 * count,
            Self::ENUM | Self::FUNC_PROTO => 8 * count,
            _ => 0,
        }
    }
}

fn add(text: &mut String, words: fmt::Arguments<'_>) {
    text.push_str(&words.to_string());
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
