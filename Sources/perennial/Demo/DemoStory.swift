/// The pattern, shown on a slow origin: who waits, who doesn't, and what happens when things die.
///
/// It starts the origin and the gateway as processes of their own, so that it can kill them, and checks what it shows.
struct DemoStory: ~Copyable {
    /// A read that did not wait for the origin takes less than this, also on a busy machine; one that did takes more.
    static let noWait = DemoOriginCommand.delay / 2
    static let refreshAfter = Duration.seconds(3)

    private let folder: String
    private let reader = DemoReader()
    private var report: DemoReport
    private let path = "/users/peterbe"

    init(folder: String) {
        self.folder = folder
        report = DemoReport(isColoured: Console.usesColour)
    }

    /// - Returns: how many claims held, and how many did not.
    mutating func tell() async throws -> (passed: Int, failed: Int) {
        do {
            try await tellAll()
            await reader.close()
            return (report.passed, report.failed)
        } catch {
            await reader.close()
            throw error
        }
    }

    private mutating func tellAll() async throws {
        let origin = try ChildProcess(["demo-origin"], errorFile: "\(folder)/origin.log")
        let originURL = try await readyLine(of: origin, what: "origin")
        var (gateway, gatewayURL) = try await startGateway(before: originURL)
        Console.print(
            "An API that takes 800 ms, answers at most 5 requests in 2 s and changes every 2 s: \(originURL)")
        Console.print("Perennial before it, refreshing what is older than 3 s, serving it for 7 days: \(gatewayURL)")
        let url = gatewayURL + path

        report.title("The first read waits; later ones don't")
        report.header()
        let first = try await ask("first read", url)
        let later = [try await ask("second read", url), try await ask("third read", url)]
        report.check(
            "the first read waited for the origin", first.status == 200 && first.took >= DemoOriginCommand.delay)
        report.check("later reads did not", later.allSatisfy { $0.status == 200 && $0.took < Self.noWait })

        report.title("A stale read doesn't wait either, and a refresh happens behind")
        try await Task.sleep(for: Self.refreshAfter)
        let stale = try await ask("read after 3 s: stale", url)
        let fresh = try await askUntilNewer("read once it is refreshed", than: first.version ?? 0, url)
        report.check(
            "the stale read got the old value at once", stale.version == first.version && stale.took < Self.noWait)
        report.check("a newer value came without anybody waiting", fresh.took < Self.noWait)

        report.title("200 reads at once are no questions at all")
        let before = try await reader.questions(to: originURL)
        let many = try await ask(200, url)
        let slowest = many.max { $0.took < $1.took }!
        let asked = try await reader.questions(to: originURL) - before
        report.show("the slowest of 200 reads at once", slowest)
        report.check("all got the value", many.allSatisfy { $0.status == 200 && $0.version != nil })
        report.check("the origin was asked \(asked) times meanwhile (1: a refresh fell due)", asked <= 1)
        let direct = try await ask(8, originURL + path).max { $0.status < $1.status }!
        report.show("the origin, asked so quickly itself", direct)
        report.check("it refuses: 429 with Retry-After", direct.status == 429 && direct.retryAfter != nil)

        report.title("The origin dies: answers go on")
        origin.kill()
        let orphaned = try await ask("read with the origin dead", url)
        try await Task.sleep(for: Self.refreshAfter)
        let orphanedStale = try await ask("read with the origin dead: stale", url)
        report.check(
            "both were answered at once",
            [orphaned, orphanedStale].allSatisfy { $0.status == 200 && $0.version != nil && $0.took < Self.noWait })

        report.title("The gateway is killed with -9, too, and started again: answers go on")
        gateway.kill()
        (gateway, gatewayURL) = try await startGateway(before: originURL)
        let restarted = try await ask("first read after the restart", gatewayURL + path)
        report.check(
            "answered from the file, with the origin still dead",
            restarted.status == 200 && restarted.version == orphanedStale.version && restarted.took < Self.noWait)
        gateway.kill()
    }

    private func startGateway(before originURL: String) async throws -> (ChildProcess, String) {
        let gateway = try ChildProcess(
            [
                "serve", "--origin", originURL, "--listen", "127.0.0.1:0", "--admin", "none", "--store",
                "sqlite:\(folder)/demo.sqlite", "--refresh-after", "3s", "--expire-after", "7d", "--stop-with-input",
                "--log-level", "error",
            ], errorFile: "\(folder)/gateway.log")
        let line = try await readyLine(of: gateway, what: "gateway")
        guard let address = line.split(separator: " ").last(where: { $0.hasPrefix("http://") }) else {
            throw Failure(.software, "the gateway did not say where it serves: \(line)")
        }
        return (gateway, String(address))
    }

    private func readyLine(of child: ChildProcess, what: String) async throws -> String {
        if let line = try await child.line(timeout: .seconds(30)) { return line }
        let log = (try? textOfFile("\(folder)/\(what).log")) ?? ""
        throw Failure(.unavailable, "the demo's \(what) did not start: \(log)")
    }

    private func ask(_ question: String, _ url: String) async throws -> DemoReader.Answer {
        let answer = try await reader.get(url)
        report.show(question, answer)
        return answer
    }

    private func askUntilNewer(_ question: String, than version: Int, _ url: String) async throws -> DemoReader.Answer {
        let deadline = ContinuousClock.now + .seconds(20)
        while true {
            let answer = try await reader.get(url)
            if answer.version ?? 0 > version {
                report.show(question, answer)
                return answer
            }
            guard ContinuousClock.now < deadline else {
                throw Failure(.software, "no newer value came within 20 s of a stale read")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Asks many times at once.
    private func ask(_ times: Int, _ url: String) async throws -> [DemoReader.Answer] {
        let reader = reader
        return try await withThrowingTaskGroup(of: DemoReader.Answer.self) { group in
            for _ in 0..<times { group.addTask { try await reader.get(url) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }
}
