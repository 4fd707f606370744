//! Seeded damage to a text: bytes flipped, parts spliced, words swapped, numbers replaced by extremes, lines doubled, dropped and cut off.

/// A small generator of numbers (SplitMix64): the same damage from the same seed on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, 0 when that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

const EXTREMES: [&str; 24] = [
    "0",
    "-1",
    "1e300",
    "-1e300",
    "1e-300",
    "nan",
    "inf",
    "-inf",
    "4000000",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "99999999999999999999",
    "253402300799",
    "-62135596800",
    "0.1",
    "1e400",
    "\"\"",
    "[]",
    "{}",
    "true",
    "\"off\"",
    "\"99999999999d\"",
    "9999-12-31T23:59:59Z",
];

/// Damages `bytes` one to four times; `other` lends parts.
pub(crate) fn damaged(bytes: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut now = bytes.to_vec();
    for _ in 0..=chance.below(4) {
        now = once(&now, other, chance);
    }
    now
}

fn once(bytes: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut now = bytes.to_vec();
    match chance.below(9) {
        0 if !now.is_empty() => {
            let at = chance.below(now.len());
            now[at] ^= 1 << chance.below(8);
        }
        1 => {
            let (at, from) = (chance.below(now.len() + 1), chance.below(other.len()));
            let length = chance.below(60).min(other.len() - from.min(other.len()));
            now.splice(at..at, other[from.min(other.len())..][..length].iter().copied());
        }
        2 => now.truncate(chance.below(bytes.len() + 1)),
        3 => return swapped(bytes, chance),
        4 | 5 => return extreme(bytes, chance),
        6 | 7 => return lines(bytes, chance),
        _ if !now.is_empty() => {
            let at = chance.below(now.len());
            now.drain(at..(at + 1 + chance.below(20)).min(now.len()));
        }
        _ => {}
    }
    now
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'+' | b':' | b'%')
}

/// Where words begin and end.
fn words(bytes: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|b| is_word(**b)).count();
        if length > 0 && wanted(&bytes[at..at + length]) {
            found.push(at..at + length);
        }
        at += length.max(1);
    }
    found
}

fn swapped(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let words = words(bytes, |_| true);
    if words.len() < 2 {
        return bytes.to_vec();
    }
    let (a, b) = (words[chance.below(words.len())].clone(), words[chance.below(words.len())].clone());
    let (a, b) = if a.start <= b.start { (a, b) } else { (b, a) };
    if a == b {
        return bytes.to_vec();
    }
    [&bytes[..a.start], &bytes[b.clone()], &bytes[a.end..b.start], &bytes[a.clone()], &bytes[b.end..]].concat()
}

fn extreme(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let numbers = words(bytes, |word| word.iter().any(u8::is_ascii_digit));
    if numbers.is_empty() {
        return bytes.to_vec();
    }
    let at = numbers[chance.below(numbers.len())].clone();
    [&bytes[..at.start], EXTREMES[chance.below(EXTREMES.len())].as_bytes(), &bytes[at.end..]].concat()
}

fn lines(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let (at, to) = (chance.below(lines.len()), chance.below(lines.len()));
    match chance.below(3) {
        0 => lines.insert(to, lines[at]),
        1 => drop(lines.remove(at)),
        _ => lines.swap(at, to),
    }
    lines.concat()
}
