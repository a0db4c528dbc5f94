/// What the demo prints: one line a question, and a mark for each claim that was checked.
struct DemoReport {
    private(set) var passed = 0
    private(set) var failed = 0
    private let isColoured: Bool

    init(isColoured: Bool) {
        self.isColoured = isColoured
    }

    func title(_ text: String) {
        Console.print("\n" + styled(text, "1"))
    }

    func header() {
        Console.print(styled(row("what was asked", "answer", "Cache-Status", "Age", "value", "took"), "2"))
    }

    func show(_ question: String, _ answer: DemoReader.Answer) {
        let took = answer.took.components
        let milliseconds = Double(took.seconds) * 1000 + Double(took.attoseconds) / 1e15
        let time = milliseconds < 10 ? "\(Double(Int(milliseconds * 10)) / 10) ms" : "\(Int(milliseconds)) ms"
        let status = answer.retryAfter.map { "\(answer.status), again in \($0) s" } ?? "\(answer.status)"
        let cacheStatus = answer.cacheStatus.map { $0.replacing("perennial; ", with: "") } ?? "-"
        Console.print(
            row(
                question, status, cacheStatus, answer.age.map { "\($0) s" } ?? "-",
                answer.version.map { "v\($0)" } ?? "-", time))
    }

    mutating func check(_ claim: String, _ holds: Bool) {
        if holds { passed += 1 } else { failed += 1 }
        Console.print("  " + (holds ? styled("ok", "32") : styled("NOT SO", "31")) + "  \(claim)")
    }

    private func row(
        _ question: String, _ answer: String, _ cacheStatus: String, _ age: String, _ value: String, _ took: String
    ) -> String {
        [
            padded(question, 40), padded(answer, 6), padded(cacheStatus, 36), padded(age, 5, .right),
            padded(value, 5, .right), padded(took, 8, .right),
        ].joined(separator: "  ")
    }

    private func styled(_ text: String, _ style: String) -> String {
        isColoured ? "\u{1B}[\(style)m\(text)\u{1B}[0m" : text
    }
}
