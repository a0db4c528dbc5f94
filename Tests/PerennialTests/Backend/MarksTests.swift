import PerennialTesting
import Testing

@testable import Perennial

/// What a store remembers of writes that left nothing.
@Suite struct MarksTests {
    @Test func `the newest generation of each selection is remembered`() {
        var marks = Marks(sizeLimit: nil)
        let key = Selection.key(Samples.key())
        #expect(marks[key] == .zero)
        marks.note(key, Generation(5))
        marks.note(key, Generation(3))
        #expect(marks[key] == Generation(5))
        #expect(marks[.key(Samples.key("other"))] == .zero)
        #expect(marks.count == 1)
        #expect(marks.horizon == .zero)
    }

    @Test func `of too many the oldest are forgotten, and the horizon covers them`() {
        var marks = Marks(sizeLimit: 1)
        for number in 1...1_000 { marks.note(.key(Samples.key("\(number)")), Generation(Int64(number))) }
        #expect(marks.count <= 64)
        #expect(marks.count >= 56)
        for number in 1...1_000 {
            let known = marks[.key(Samples.key("\(number)"))]
            #expect(known == Generation(Int64(number)) || known == .zero && marks.horizon >= Generation(Int64(number)))
        }
        #expect(marks.horizon < Generation(950))
    }

    @Test func `many of one generation are forgotten together`() {
        var marks = Marks(sizeLimit: 1)
        for number in 1...65 { marks.note(.key(Samples.key("\(number)")), Generation(7)) }
        #expect(marks.count == 0)
        #expect(marks.horizon == Generation(7))
    }

    @Test func `keys, tags and caches of the same texts have marks of their own, the same in every process`() {
        let selections: [Selection] = [
            .key(EntryKey(cache: "a", key: "b")), .key(EntryKey(cache: "ab", key: "")), .tag("b", cache: "a"),
            .cache("a"), .cache("ab"),
        ]
        #expect(Set(selections.map(\.mark)).count == selections.count)
        // Files have this number: it never changes.
        #expect(Selection.key(EntryKey(cache: "people", key: "ada")).mark == 5_942_935_042_238_638_583)
    }

    @Test(arguments: [(nil, 65_536), (10_000_000_000, 65_536), (20_000_000, 26_041), (1_000_000, 1_302), (0, 64)])
    func `marks take a sixteenth of the limit at most`(limit: Int?, most: Int) {
        #expect(MarkRules.most(for: limit) == most)
    }
}

/// Looking at the limit of a store on a server while writing to it.
@Suite struct WritePressureTests {
    @Test func `room is made each time a sixteenth of the limit was written`() async {
        let pressure = WritePressure(sizeLimit: 1_600)
        var looks = 0
        for _ in 0..<100 { await pressure.wrote(bytes: 10) { looks += 1 } }
        #expect(looks == 10)
    }

    @Test func `without a limit nothing is done`() async {
        let pressure = WritePressure(sizeLimit: nil)
        var looks = 0
        for _ in 0..<100 { await pressure.wrote(bytes: 1 << 40) { looks += 1 } }
        #expect(looks == 0)
    }

    @Test func `a failure is nothing to the writer, and the next one tries again`() async {
        let pressure = WritePressure(sizeLimit: 16)
        var looks = 0
        for _ in 0..<3 {
            await pressure.wrote(bytes: 1) {
                looks += 1
                throw CancellationError()
            }
        }
        #expect(looks == 3)
    }

    @Test func `while one makes room, those who have written as much again wait`() async {
        let pressure = WritePressure(sizeLimit: 160)
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let (done, finish) = AsyncStream.makeStream(of: Void.self)
        let order = Order()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await pressure.wrote(bytes: 10) {
                    begin.finish()
                    for await _ in done {}
                    order.add("room")
                }
            }
            for await _ in begun {}
            // Little is no reason to wait.
            await pressure.wrote(bytes: 1) { order.add("never") }
            group.addTask {
                await pressure.wrote(bytes: 10) { order.add("never") }
                order.add("waited")
            }
            finish.finish()
        }
        let found = order.all
        // The second may have come when the first was through; then it makes room itself.
        #expect(found == ["room", "waited"] || found == ["room", "never", "waited"])
    }
}

/// What happened, in its order.
private final class Order: Sendable {
    private let list = Locked<[String]>([])

    var all: [String] { list.withLock { $0 } }

    func add(_ event: String) { list.withLock { $0.append(event) } }
}
