/// A command and its arguments, which may be any bytes.
package struct RedisCommand: Sendable {
    /// All arguments one behind the other, and where each ends.
    private(set) var bytes: [UInt8] = []
    private(set) var ends: [Int] = []

    package var isEmpty: Bool { ends.isEmpty }

    package init(_ arguments: String...) {
        for argument in arguments { add(argument) }
    }

    package mutating func add(_ text: String) {
        bytes.append(contentsOf: text.utf8)
        ends.append(bytes.count)
    }

    package mutating func add(_ number: Int64) { add(String(number)) }
    package mutating func add(_ number: Int) { add(String(number)) }

    package mutating func add(_ argument: [UInt8]) {
        bytes.append(contentsOf: argument)
        ends.append(bytes.count)
    }

    package mutating func add(all other: RedisCommand) {
        let begin = bytes.count
        bytes += other.bytes
        for end in other.ends { ends.append(begin + end) }
    }
}
