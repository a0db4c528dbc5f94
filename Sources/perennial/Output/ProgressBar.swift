/// How far something has come, in one line of the terminal that is written over; nothing where there is no terminal.
struct ProgressBar {
    let total: Int?
    private let isShown = Console.errorIsTerminal

    init(total: Int?) {
        self.total = total
    }

    func show(_ count: Int) {
        if isShown { Console.putError("\r" + Self.line(count, of: total) + "\u{1B}[K") }
    }

    func end() {
        if isShown { Console.putError("\r\u{1B}[K") }
    }

    /// - Parameter total: may be less than `count`, since a store that is in use grows.
    static func line(_ count: Int, of total: Int?) -> String {
        guard let total, total > 0 else { return "\(count)" }
        let part = min(1, Double(count) / Double(total))
        let width = 30
        let filled = Int(part * Double(width))
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
        return "[\(bar)] \(Int(part * 100)) % (\(count) of \(total))"
    }
}
