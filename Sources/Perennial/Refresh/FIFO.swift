/// First in, first out, with removal by ticket.
struct FIFO<Element> {
    private var elements: [Int: Element] = [:]
    private var head = 0
    private var tail = 0

    var isEmpty: Bool { elements.isEmpty }
    var count: Int { elements.count }
    /// In no order, with their tickets.
    var all: [(ticket: Int, element: Element)] { elements.map { ($0.key, $0.value) } }

    /// The next to be popped.
    var first: Element? {
        mutating get {
            while head < tail {
                if let element = elements[head] { return element }
                head += 1
            }
            return nil
        }
    }

    mutating func append(_ element: Element) -> Int {
        elements[tail] = element
        tail += 1
        return tail - 1
    }

    mutating func popFirst() -> Element? {
        while head < tail {
            defer { head += 1 }
            if let element = elements.removeValue(forKey: head) { return element }
        }
        return nil
    }

    mutating func remove(_ ticket: Int) -> Element? {
        elements.removeValue(forKey: ticket)
    }
}
