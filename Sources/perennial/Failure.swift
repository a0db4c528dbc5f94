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
    /// What is wrong, where, and what to do.
    let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        // One line, whatever a library's error text looks like.
        self.description = description.split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}
