import Dispatch
import Foundation
import Testing

/// Runs other people's programs: openssl and curl.
enum Shell {
    struct Failed: Error {
        var command: String
        var code: Int32
        var output: String
    }

    /// Runs a command to its end.
    /// - Returns: what it wrote to its output.
    /// - Throws: ``Failed`` when its exit code is not 0.
    @discardableResult
    static func run(_ command: String...) async throws -> String { try await run(command) }

    @discardableResult
    static func run(_ command: [String]) async throws -> String {
        let quoted = command.map { "'" + $0.replacing("'", with: "'\\''") + "'" }.joined(separator: " ")
        // Not Foundation's Process, which watches its children with select: that knows no more than 1,024 open files,
        // and all tests together have more.
        let (status, output) = await withCheckedContinuation {
            (continuation: CheckedContinuation<(Int32, String), Never>) in
            DispatchQueue.global().async {
                guard let pipe = popen(quoted + " </dev/null 2>/dev/null", "r") else {
                    continuation.resume(returning: (-1, ""))
                    return
                }
                var output: [UInt8] = []
                var piece = [UInt8](repeating: 0, count: 64 << 10)
                var count = fread(&piece, 1, 64 << 10, pipe)
                while count > 0 {
                    output += piece[..<count]
                    count = fread(&piece, 1, 64 << 10, pipe)
                }
                let status = pclose(pipe)
                continuation.resume(returning: (status, String(decoding: output, as: UTF8.self)))
            }
        }
        guard status == 0 else { throw Failed(command: quoted, code: status >> 8 & 0xFF, output: output) }
        return output
    }
}

/// Asks again and again until it is so: for what happens in its own time.
func eventually(_ condition: () async throws -> Bool?) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try await condition() != true {
        try #require(ContinuousClock.now < deadline, "it did not come about within 30 s")
        await Task.yield()
    }
}

/// Certificates that openssl makes, in a folder that is gone with the value.
final class Certificates: Sendable {
    let folder: String

    init() async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "perennial-tls-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try await make("server")
    }

    deinit {
        try? FileManager.default.removeItem(atPath: folder)
    }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    /// A certificate that signs itself, `NAME.crt`, and its key, `NAME.key`.
    /// - Parameter hosts: whose it is, as openssl writes them.
    func make(_ name: String, for hosts: String = "DNS:localhost,IP:127.0.0.1") async throws {
        try await Shell.run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "2",
            "-subj", "/CN=\(name)", "-addext", "subjectAltName=\(hosts)", "-keyout",
            path("\(name).key"),
            "-out", path("\(name).crt"))
    }

    /// Puts one file in another's place, as renewals do.
    func replace(_ name: String, by other: String) throws {
        let new = path("new-\(UUID().uuidString)")
        try FileManager.default.copyItem(atPath: path(other), toPath: new)
        guard rename(new, path(name)) == 0 else { throw CocoaError(.fileWriteUnknown) }
    }
}

/// Runs what takes long and waits for nothing on a thread of its own, so that other tests get on meanwhile.
func onOwnThread<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        let thread = Thread { continuation.resume(with: Swift.Result { try work() }) }
        thread.stackSize = 8 << 20
        thread.start()
    }
}
