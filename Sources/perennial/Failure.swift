/// Why a command ends: one line for people and, for scripts, an exit code of sysexits.h.
struct Failure: Error, Hashable, CustomStringConvertible {
    /// The codes of sysexits.h that are used here.
    enum Code: Int32 {
        /// The command line is wrong.
        case usage = 64
        /// What was read is damaged.
        case data = 65
        /// What was named is not there.
        case noInput = 66
        /// Something needed can't be reached, or an address is taken.
        case unavailable = 69
        /// A mistake in Perennial itself.
        case software = 70
        /// A file can't be made.
        case cannotCreate = 73
        /// Reading or writing failed.
        case io = 74
        /// It may work later.
        case temporary = 75
        case noPermission = 77
        /// The environment or the configuration file is wrong.
        case configuration = 78
    }

    let code: Code
    /// What is wrong, where, and what to do: one line each.
    let lines: [String]

    /// All of it in one line.
    var description: String { lines.joined(separator: "; ") }

    init(_ code: Code, _ description: String) {
        self.code = code
        // One line, whatever a library's error text looks like.
        lines = [description.split(whereSeparator: \.isNewline).joined(separator: " ")]
    }

    /// Several at once; the first one's code counts.
    fileprivate init(_ failures: [Failure]) {
        code = failures[0].code
        lines = failures.flatMap(\.lines)
    }
}

/// What is wrong with settings: collected, so that whoever mends a file is told of all mistakes at once.
///
/// Whatever reads a setting goes on without it when it is wrong; in the end ``check()`` throws.
final class Problems {
    private var failures: [Failure] = []

    var isEmpty: Bool { failures.isEmpty }
    var count: Int { failures.count }

    /// Notes one, unless it is known already: a setting may be read for several routes.
    func note(_ failure: Failure) {
        if !failures.contains(failure) { failures.append(failure) }
    }

    /// What is read, or `nil`, and then a failure is noted.
    @discardableResult
    func take<Value>(_ read: @autoclosure () throws -> Value?) -> Value? {
        do {
            return try read()
        } catch {
            note(error as? Failure ?? Failure(.configuration, "\(error)"))
            return nil
        }
    }

    /// - Throws: ``Failure`` with all that was noted.
    func check() throws(Failure) {
        if !failures.isEmpty { throw Failure(failures) }
    }
}
