import Foundation
import PerennialConnections
import Synchronization
import Testing

/// - Returns: the error's number.
private func writeToNobody() -> Int32 {
    var ends: [Int32] = [0, 0]
    pipe(&ends)
    close(ends[0])
    let written = write(ends[1], "x", 1)
    let code = errno
    close(ends[1])
    return written < 0 ? code : 0
}

@Suite struct LaneTests {
    /// A connection that can be broken, and what happened on all of them.
    final class Line: BlockingConnection {
        let log: Log
        var isUsable = true

        init(_ log: Log) throws {
            self.log = log
            log.note("open")
            if log.state.withLock({ $0.isDown }) { throw ConnectionError(.unreachable, "down") }
        }

        func endBatch() throws { log.note("end") }
        func close() { log.note("close") }

        func fail() throws {
            isUsable = false
            throw ConnectionError(.lost, "lost")
        }
    }

    final class Log: Sendable {
        struct State {
            var events: [String] = []
            var isDown = false
        }
        let state = Mutex(State())

        func note(_ event: String) { state.withLock { $0.events.append(event) } }
        var events: [String] { state.withLock { $0.events } }
    }

    @Test func `work runs on one connection, which is closed at the end`() async throws {
        let log = Log()
        let lane = Lane("test") { try Line(log) }
        #expect(try await lane.perform { _ in 1 } == 1)
        #expect(try await lane.perform { _ in 2 } == 2)
        await lane.close()
        #expect(log.events == ["open", "end", "end", "close"])
        await #expect(throws: ConnectionError.self) { try await lane.perform { _ in 3 } }
    }

    @Test func `nobody waits for long work on a server that does not answer others`() async throws {
        let log = Log()
        let (begun, mayEnd) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let watch = ServerWatch(every: .zero) { throw ConnectionError(.timedOut, "stands still") }
        let lanes = Lanes("test", count: 1, watch: watch) { try Line(log) }
        let error = await #expect(throws: ConnectionError.self) {
            try await lanes.perform { _ in
                begun.signal()
                mayEnd.wait()
            }
        }
        #expect(error?.description == "stands still")
        begun.wait()
        mayEnd.signal()
        await lanes.close()
        #expect(log.events == ["open", "end", "close"])
    }

    @Test func `long work is waited for while the server answers others`() async throws {
        let log = Log()
        let mayEnd = DispatchSemaphore(value: 0)
        let watch = ServerWatch(every: .zero) {
            log.note("look")
            if log.events.count(where: { $0 == "look" }) == 3 { mayEnd.signal() }
        }
        let lanes = Lanes("test", count: 1, watch: watch) { try Line(log) }
        let result = try await lanes.perform { _ in
            mayEnd.wait()
            return 7
        }
        #expect(result == 7)
        await lanes.close()
    }

    @Test func `what piles up is begun together, before any of it ends`() async throws {
        let log = Log()
        let lane = Lane("test") { try Line(log) }
        try await lane.perform { _ in }
        await withTaskGroup { group in
            for number in 0..<50 {
                group.addTask {
                    try! await lane.perform(begin: { $0.log.note("begin \(number)") }) { $0.log.note("end \(number)") }
                }
            }
        }
        await lane.close()
        // Within a batch, every beginning comes before every end.
        for batch in log.events.split(separator: "end") {
            let firstEnd = batch.firstIndex { $0.hasPrefix("end ") } ?? batch.endIndex
            #expect(!batch[firstEnd...].contains { $0.hasPrefix("begin ") })
        }
        #expect(log.events.filter { $0.hasPrefix("end ") }.count == 50)
    }

    @Test func `work that fails by itself fails nothing else, and keeps the connection`() async throws {
        struct Own: Error {}
        let log = Log()
        let lane = Lane("test") { try Line(log) }
        await withTaskGroup { group in
            for number in 0..<20 {
                group.addTask {
                    let result = try? await lane.perform { _ in
                        if number % 2 == 0 { throw Own() }
                        return number
                    }
                    #expect(result == (number % 2 == 0 ? nil : number))
                }
            }
        }
        await lane.close()
        #expect(log.events.filter { $0 == "open" }.count == 1)
    }

    @Test func `a connection that turns out to be dead is replaced, and the work done again`() async throws {
        let log = Log()
        let lane = Lane("test") { try Line(log) }
        try await lane.perform { _ in }
        let isFirst = Atomic(true)
        let result = try await lane.perform { line in
            if isFirst.exchange(false, ordering: .relaxed) { try line.fail() }
            return "done"
        }
        #expect(result == "done")
        #expect(log.events == ["open", "end", "close", "open", "end"])
    }

    @Test func `work that may not be done twice fails with its connection`() async throws {
        let log = Log()
        let lane = Lane("test") { try Line(log) }
        try await lane.perform { _ in }
        await #expect(throws: ConnectionError.self) {
            try await lane.perform(canRepeat: false) { try $0.fail() }
        }
        #expect(try await lane.perform { _ in 1 } == 1)
    }

    @Test func `while a server is down, work fails at once without trying each time`() async throws {
        let log = Log()
        log.state.withLock { $0.isDown = true }
        let lane = Lane("test") { try Line(log) }
        for _ in 0..<20 {
            await #expect(throws: ConnectionError.self) { try await lane.perform { _ in } }
        }
        #expect(log.events.filter { $0 == "open" }.count < 20)
    }

    @Test func `a connection that breaks while it is written to raises no signal`() async throws {
        // In a process of its own, where nothing ignores the signal: it would be the end.
        await #expect(processExitsWith: .success) {
            signal(SIGPIPE, SIG_DFL)
            let lane = Lane("test") { try Line(Log()) }
            for _ in 0..<20 {
                let code = try await lane.perform { _ in writeToNobody() }
                precondition(code == EPIPE)
            }
            await lane.close()
            let (codes, tell) = AsyncStream<Int32>.makeStream()
            let listener = Listener(
                "test", open: { try Line(Log()) }, opened: {},
                listen: { _ in
                    tell.yield(writeToNobody())
                    throw ConnectionError(.lost, "lost")
                })
            for await code in codes {
                precondition(code == EPIPE)
                break
            }
            listener.cancel()
        }
    }

    @Test func `work that the server did nothing of is done again, once, also what may not be done twice`() async throws
    {
        let log = Log()
        let lane = Lane("test") { try Line(log) }
        let tries = Atomic(0)
        let result = try await lane.perform(canRepeat: false) { _ in
            let number = tries.add(1, ordering: .relaxed).newValue
            if number == 1 { throw ConnectionError(.notDone, "not done") }
            return number
        }
        #expect(result == 2)
        await #expect(throws: ConnectionError.self) {
            try await lane.perform { _ in throw ConnectionError(.notDone, "never done") }
        }
        await lane.close()
        #expect(log.events.filter { $0 == "open" }.count == 1)
    }

    @Test func `pauses grow to their limit, are spread, and end with success`() {
        let now = ContinuousClock.now
        var least = Reconnection()
        var most = Reconnection()
        #expect(least.mayTry(at: now))
        for failures in 0..<40 {
            least.failed(at: now, random: 0)
            most.failed(at: now, random: 1)
            let full = min(Reconnection.firstPause * (1 << min(failures, 10)), Reconnection.longestPause)
            #expect(least.pause(at: now) == full * 0.5)
            #expect(most.pause(at: now) == full)
            #expect(!least.mayTry(at: now))
            #expect(least.mayTry(at: now + full * 0.5))
        }
        least.succeeded()
        #expect(least.mayTry(at: now))
    }
}
