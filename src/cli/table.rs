//! Tables of text in frames.

/// Draws rows, the first of which is the head, with a rule between any two. A cell may have several
/// lines. There is no newline at the end.
pub(super) fn drawn(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells.flat_map(|cell| cell.lines().map(|line| line.chars().count()));
        widths.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let rule = |left: char, middle: &str, right: char| {
        let lines: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}", lines.join(middle))
    };
    let mut out = vec![rule('┌', "┬", '┐')];
    for (place, row) in rows.iter().enumerate() {
        if place > 0 {
            out.push(rule('├', "┼", '┤'));
        }
        let cells: Vec<Vec<&str>> = row.iter().map(|cell| cell.lines().collect()).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
        for line in 0..height {
            let cells = cells.iter().zip(&widths).map(|(lines, width)| {
                let text = lines.get(line).copied().unwrap_or_default();
                format!(" {text:width$} ")
            });
            let cells: Vec<String> = cells.collect();
            out.push(format!("│{}│", cells.join("│")));
        }
    }
    out.push(rule('└', "┴", '┘'));
    out.join("\n")
}
