//! What a reason means: its paragraph of docs/reasons.md.

use netmap_common::maps::Reason;

const REASONS: &str = include_str!("../../../docs/reasons.md");

/// The text below a reason's heading, as one line a paragraph, without marks for emphasis and code.
pub fn of(reason: Reason) -> Vec<String> {
    let heading = format!("### {}", reason.name());
    let below = REASONS.lines().skip_while(|line| *line != heading).skip(1);
    let mut paragraphs = Vec::new();
    let mut paragraph = String::new();
    for line in below.take_while(|line| !line.starts_with('#')) {
        if line.is_empty() {
            paragraphs.extend(Some(std::mem::take(&mut paragraph)).filter(|text| !text.is_empty()));
            continue;
        }
        if !paragraph.is_empty() {
            paragraph.push(' ');
        }
        paragraph.push_str(&line.trim().replace(['`', '*'], ""));
    }
    paragraphs.extend(Some(paragraph).filter(|text| !text.is_empty()));
    paragraphs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_paragraph_and_no_other() {
        for reason in Reason::ALL {
            let text = of(*reason).join("\n");
            assert!(
                !text.is_empty() && !text.contains('#'),
                "{}: {text}",
                reason.name()
            );
        }
        let text = of(Reason::NotAllowed).join("\n");
        assert!(text.contains("allow") && !text.contains('`'), "{text}");
    }
}
