import PerennialConsole

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Standard output and standard error, unbuffered, so that a reader of a pipe sees each line at once.
enum Console {
    static func print(_ line: String) {
        put(line + "\n", STDOUT_FILENO)
    }

    static func printError(_ line: String) {
        put(line + "\n", STDERR_FILENO)
    }

    /// Text on standard error as it is, without a new line.
    static func putError(_ text: String) {
        put(text, STDERR_FILENO)
    }

    /// Whether standard error is a terminal.
    static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// Whether there is a person to ask: standard input and standard error are a terminal.
    static var canAsk: Bool { isatty(STDIN_FILENO) == 1 && errorIsTerminal }

    /// Asks a person; whether the answer is yes.
    static func ask(_ question: String) -> Bool {
        putError(question)
        return ["y", "yes"].contains(readLine()?.lowercased() ?? "")
    }

    /// One JSON document on one line.
    static func print(json value: some Encodable) throws {
        print(String(decoding: try JSONText.data(value), as: UTF8.self))
    }

    /// Whether to use colours: on a terminal, unless NO_COLOR says not to (no-color.org).
    static var usesColour: Bool {
        isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR").map { $0.pointee == 0 } ?? true
    }

    private static func put(_ text: String, _ file: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }
}

/// Text from elsewhere, made safe for a terminal: control characters become `?`.
func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
}
