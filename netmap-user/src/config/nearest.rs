//! The known word that was probably meant by an unknown one.

/// The least likeness of two words, of 1, from which on one is worth asking for.
const LIKE: f64 = 0.7;

/// As ` (did you mean `bridges`?)`; nothing where no known word is like it.
pub(super) fn hint(word: &str, known: impl IntoIterator<Item = &'static str>) -> String {
    let word = word.to_lowercase().replace('-', "_");
    let nearest = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&word, &name.replace('-', "_")), name))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest.map_or_else(String::new, |(_, name)| format!(" (did you mean `{name}`?)"))
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_none() {
        let known = ["uplinks", "bridges", "max_flows", "max_new_flows", "publish_on"];
        for (word, meant) in [
            ("uplink", "uplinks"),
            ("birdges", "bridges"),
            ("max-flows", "max_flows"),
            ("publishon", "publish_on"),
        ] {
            assert_eq!(hint(word, known), format!(" (did you mean `{meant}`?)"));
        }
        assert_eq!(hint("zzz", known), "");
    }
}
