public import Foundation
import Synchronization

/// A server for tests: on a spare port of the loopback, in a temporary folder. It ends with the test process, however
/// that ends.
///
/// What it does blocks its thread, and belongs on one that nobody else needs: see ``aside(_:)``.
public final class ServerProcess: Sendable {
    public let folder: URL
    public let port: Int
    private let program: String
    private let arguments: [String]
    private let running = Mutex<Running?>(nil)

    private struct Running: @unchecked Sendable {
        let wrapper: Process
        let lifeline: Pipe
        let pid: Int32
    }

    /// - Parameters:
    ///   - program: found by the search path.
    ///   - arguments: from the folder and the port.
    public init(
        _ program: String, folder: URL? = nil, port: Int? = nil, arguments: (_ folder: String, _ port: Int) -> [String]
    ) throws {
        self.program = program
        self.folder = try folder ?? temporaryFolder(program)
        self.port = port ?? sparePort()
        self.arguments = arguments(self.folder.path, self.port)
    }

    deinit {
        kill()
        try? FileManager.default.removeItem(at: folder)
    }

    /// The server's own process.
    public var pid: Int32? { running.withLock { $0?.pid } }

    /// What it has printed.
    public var output: String {
        (try? String(contentsOf: folder.appending(path: "output"), encoding: .utf8)) ?? ""
    }

    /// Starts it, its output anew, and waits until `isReady` says so.
    public func start(isReady: () -> Bool) throws {
        let wrapper = Process()
        wrapper.executableURL = URL(filePath: "/bin/sh")
        // When the pipe to it closes, since this process has ended, so does the server.
        wrapper.arguments =
            [
                "-c", #""$@" >"$OUTPUT" 2>&1 </dev/null & server=$!; echo $server; cat >/dev/null; kill -9 $server"#,
                "sh",
            ]
            + [program] + arguments
        wrapper.environment = ProcessInfo.processInfo.environment
            .merging(["OUTPUT": folder.appending(path: "output").path]) { $1 }
        let (lifeline, answer) = (Pipe(), Pipe())
        wrapper.standardInput = lifeline
        wrapper.standardOutput = answer
        wrapper.standardError = FileHandle.nullDevice
        try wrapper.run()
        let line = answer.fileHandleForReading.availableData
        guard let pid = Int32(String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
        else { throw ServerFailure("\(program) could not be started") }
        running.withLock { $0 = Running(wrapper: wrapper, lifeline: lifeline, pid: pid) }
        let deadline = Date.now + 30
        while !isReady() {
            guard Date.now < deadline, Foundation.kill(pid, 0) == 0 else {
                kill()
                throw ServerFailure("\(program) did not come up on port \(port): \(output)")
            }
            usleep(20_000)
        }
    }

    /// Ends it at once, as `kill -9` does.
    public func kill() {
        guard
            let running = running.withLock({ running in
                defer { running = nil }
                return running
            })
        else { return }
        Foundation.kill(running.pid, SIGKILL)
        try? running.lifeline.fileHandleForWriting.close()
        running.wrapper.waitUntilExit()
    }

    /// Stops it from running, its connections left open, until ``resume()``.
    public func pause() {
        if let pid { freeze(pid) }
    }

    public func resume() {
        if let pid { Foundation.kill(pid, SIGCONT) }
    }
}

/// Stops a process from running, and returns when all its threads stand still: the signal takes a moment, in which a
/// request can still be answered.
func freeze(_ pid: Int32) {
    Foundation.kill(pid, SIGSTOP)
    while isMoving(pid) { usleep(1_000) }
}

/// Whether one of a process's threads does not stand still; `false` for one that has ended.
private func isMoving(_ pid: Int32) -> Bool {
    let tasks = "/proc/\(pid)/task"
    return ((try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []).contains { task in
        // The state stands behind the program's name in parentheses.
        guard let stat = try? String(contentsOfFile: "\(tasks)/\(task)/stat", encoding: .utf8),
            let state = stat.split(separator: ")").last?.dropFirst().first
        else { return false }
        return !"TtZX".contains(state)
    }
}

public struct ServerFailure: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// A new folder for one server, which every user may enter: PostgreSQL doesn't run as root.
public func temporaryFolder(_ name: String) throws -> URL {
    let name = name.split(separator: "/").last.map(String.init) ?? name
    let folder = FileManager.default.temporaryDirectory.appending(path: "\(name)-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(
        at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    return folder
}

/// A port that nobody listens on, and that has one 10,000 above it: a Redis cluster's nodes talk there.
public func sparePort() -> Int {
    while true {
        let port = anyPort()
        if port < 55_000 { return port }
    }
}

private func anyPort() -> Int {
    let socket = Foundation.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    return withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            guard bind(socket, address, length) == 0, getsockname(socket, address, &length) == 0 else { return 0 }
            return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                Int(UInt16(bigEndian: $0.pointee.sin_port))
            }
        }
    }
}

/// Whether somebody accepts connections on the port.
public func isListening(_ port: Int) -> Bool {
    let socket = Foundation.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    address.sin_port = UInt16(port).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}

/// Runs what blocks its thread on one that nobody else needs.
public func aside<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result { try work() }) }
    }
}
