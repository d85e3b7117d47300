//! Tables that a person can read, and lines of the terminal's width.

/// Columns aligned, the last one as long as it is; numbers to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = header.len();
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let numeric: Vec<bool> =
        (0..columns).map(|c| !rows.is_empty() && rows.iter().all(|row| row[c].parse::<f64>().is_ok())).collect();
    let mut text = String::new();
    let head: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().enumerate().map(|(c, cell)| {
            let pad = " ".repeat(widths[c] - cell.chars().count());
            if numeric[c] { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The shape of a series in at most `width` characters; a gap is a space.
pub fn sparkline(values: &[f64], width: usize) -> String {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let step = values.len().div_ceil(width.max(1)).max(1);
    let bar = |chunk: &[f64]| {
        let value = chunk.iter().copied().filter(|v| v.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        match value {
            v if !v.is_finite() => ' ',
            _ if high <= low => BARS[0],
            v => BARS[(((v - low) / (high - low)) * 7.0).round() as usize],
        }
    };
    values.chunks(step).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["up".into(), "1".into()], vec!["longer name".into(), "20.5".into()]];
        assert_eq!(table(&["series", "value"], &rows), "series       value\nup               1\nlonger name   20.5\n");
        assert_eq!(table(&["a"], &[]), "a\n");
    }

    #[test]
    fn shapes_fit_their_width() {
        assert_eq!(sparkline(&[0.0, 1.0, f64::NAN, 0.5], 10), "▁█ ▅");
        assert_eq!(sparkline(&[3.0, 3.0], 10), "▁▁");
        assert_eq!(sparkline(&vec![1.0; 1000], 20).chars().count(), 20);
        assert_eq!(sparkline(&[], 20), "");
    }
}
