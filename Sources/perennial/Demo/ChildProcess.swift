#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// This program, started once more with other arguments.
///
/// The child's standard input is a pipe that only this process holds: a child that stops when its input ends never
/// outlives its parent, however that one dies.
final class ChildProcess {
    let pid: pid_t
    private let input: Int32
    private let output: Int32
    private var unread: [UInt8] = []
    private var isReaped = false

    /// - Parameters:
    ///   - errorFile: where the child's standard error goes.
    init(_ arguments: [String], errorFile: String) throws(Failure) {
        var inputPipe: [Int32] = [0, 0]
        var outputPipe: [Int32] = [0, 0]
        guard pipe(&inputPipe) == 0, pipe(&outputPipe) == 0 else {
            throw Failure(.temporary, "can't make a pipe: \(String(cString: strerror(errno)))")
        }
        for end in [inputPipe[1], outputPipe[0]] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(outputPipe[0], F_SETFL, O_NONBLOCK)

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, inputPipe[0], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, outputPipe[1], STDOUT_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errorFile, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addclose(&actions, inputPipe[0])
        posix_spawn_file_actions_addclose(&actions, outputPipe[1])

        // What this process ignores or handles is its own affair.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))

        let path = try Self.ownPath()
        var argv = ([path] + arguments).map { strdup($0) } + [nil]
        defer { argv.forEach { free($0) } }
        var child: pid_t = 0
        let result = posix_spawn(&child, path, &actions, &attributes, &argv, environ)
        close(inputPipe[0])
        close(outputPipe[1])
        guard result == 0 else {
            close(inputPipe[1])
            close(outputPipe[0])
            throw Failure(.temporary, "can't start \(path): \(String(cString: strerror(result)))")
        }
        pid = child
        input = inputPipe[1]
        output = outputPipe[0]
    }

    deinit {
        kill()
        close(input)
        close(output)
    }

    /// The next line of the child's standard output.
    /// - Returns: `nil` when the child ended, or said nothing for `timeout`.
    func line(timeout: Duration) async throws -> String? {
        let deadline = ContinuousClock.now + timeout
        while true {
            if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
                defer { unread.removeSubrange(...end) }
                return String(decoding: unread[..<end], as: UTF8.self)
            }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(output, &buffer, buffer.count)
            if count > 0 {
                unread += buffer[..<count]
            } else if count == 0 || ContinuousClock.now > deadline {
                return nil
            } else {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
    }

    /// Ends the child at once, as `kill -9` does, and waits until it is gone.
    func kill() {
        guard !isReaped else { return }
        isReaped = true
        _ = signal(SIGKILL)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    }

    private func signal(_ number: Int32) -> Int32 {
        #if canImport(Glibc)
            Glibc.kill(pid, number)
        #elseif canImport(Musl)
            Musl.kill(pid, number)
        #else
            Darwin.kill(pid, number)
        #endif
    }

    private static func ownPath() throws(Failure) -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes {
            readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        if count > 0 { return String(decoding: buffer[..<count], as: UTF8.self) }
        guard let path = CommandLine.arguments.first else {
            throw Failure(.software, "can't find this program's own file")
        }
        return path
    }
}
