//! From the values of a varied field to places on an axis: even or logarithmic for numbers, one beside the other for choices.

use super::document::{Document, Point, Varied};
use crate::plot::Scale;

/// A field as an axis.
pub(super) struct FieldAxis<'a> {
    varied: &'a Varied,
    choices: Vec<String>,
    pub(super) scale: Scale,
    /// Values to write on it, on the scale's terms.
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) label: String,
}

impl<'a> FieldAxis<'a> {
    /// Between two pixels; none where the field has no value at any point.
    pub(super) fn new(document: &Document, varied: &'a Varied, from: i32, to: i32) -> Option<Self> {
        let numbers: Vec<f64> = document.points.iter().filter_map(|point| varied.number(point)).collect();
        let label = varied.label();
        if numbers.len() < document.points.len() {
            let mut choices: Vec<String> = Vec::new();
            for word in document.points.iter().map(|point| point.word(&varied.field)) {
                if !choices.contains(&word) {
                    choices.push(word);
                }
            }
            let scale = Scale { low: -0.5, high: choices.len() as f64 - 0.5, from, to };
            let ticks = choices.iter().enumerate().map(|(i, word)| (i as f64, word.clone())).collect();
            return (!choices.is_empty()).then_some(Self { varied, choices, scale, ticks, label });
        }
        let log = varied.log && numbers.iter().all(|v| *v > 0.0);
        let scale = Scale::over(numbers.iter().map(|v| if log { v.log10() } else { *v }), from, to)?;
        let ticks = if log { decades(&scale) } else { scale.ticks(10) };
        Some(Self { varied, choices: Vec::new(), scale, ticks, label })
    }

    /// A point's place on the scale.
    pub(super) fn value(&self, point: &Point) -> f64 {
        if self.choices.is_empty() {
            let number = self.varied.number(point).unwrap_or(f64::NAN);
            if self.is_log() { number.log10() } else { number }
        } else {
            let word = point.word(&self.varied.field);
            self.choices.iter().position(|choice| *choice == word).map_or(f64::NAN, |i| i as f64)
        }
    }

    /// A point's pixel.
    pub(super) fn pixel(&self, point: &Point) -> i32 {
        self.scale.at(self.value(point))
    }

    /// Are its values choices?
    pub(super) fn is_choice(&self) -> bool {
        !self.choices.is_empty()
    }

    fn is_log(&self) -> bool {
        self.varied.log && self.choices.is_empty()
    }
}

/// 1, 2 and 5 in every power of ten; only the ones where there are many.
fn decades(scale: &Scale) -> Vec<(f64, String)> {
    let (low, high) = (scale.low.floor() as i32, scale.high.ceil() as i32);
    let steps: &[f64] = if high - low > 5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let all = (low..=high).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
    all.map(|v| (v.log10(), format!("{v}"))).filter(|(at, _)| *at >= scale.low && *at <= scale.high).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_are_ones_twos_and_fives() {
        let said: Vec<String> =
            decades(&Scale { low: -1.1, high: 1.0, from: 0, to: 9 }).into_iter().map(|t| t.1).collect();
        assert_eq!(said, ["0.1", "0.2", "0.5", "1", "2", "5", "10"]);
    }
}
