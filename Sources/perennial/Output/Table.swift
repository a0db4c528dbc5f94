/// Rows in columns, each as wide as its widest cell.
struct Table {
    enum Side {
        case left, right
    }

    private let columns: [(title: String, side: Side)]
    private var rows: [[String]] = []

    init(_ columns: [(title: String, side: Side)]) {
        self.columns = columns
    }

    /// - Parameter cells: one a column.
    mutating func add(_ cells: [String]) {
        rows.append(cells.map(printable))
    }

    /// The lines, without spaces at their ends.
    /// - Parameter header: whether the titles come first.
    func lines(header: Bool = true) -> [String] {
        let all = header ? [columns.map(\.title)] + rows : rows
        let widths = columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            let cells = columns.indices.map { padded(row[$0], widths[$0], columns[$0].side) }
            let line = cells.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
    }
}

/// `text` with spaces up to `width`.
func padded(_ text: String, _ width: Int, _ side: Table.Side = .left) -> String {
    let space = String(repeating: " ", count: max(0, width - text.count))
    return side == .left ? text + space : space + text
}
