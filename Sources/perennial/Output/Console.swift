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
        put(shown(line) + "\n", STDOUT_FILENO)
    }

    /// A row of a table, cut to what a terminal has room for; whole where there is none.
    static func printRow(_ line: String) {
        print(columns.map { cut(line, to: $0, mark: isPlain ? ">" : "…") } ?? line)
    }

    static func printError(_ line: String) {
        put(shown(line) + "\n", STDERR_FILENO)
    }

    /// Text on standard error, without a new line.
    static func putError(_ text: String) {
        put(shown(text), STDERR_FILENO)
    }

    /// How many characters a line of the terminal has; `nil`: standard output is none.
    private static var columns: Int? {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// Whether the locale has no more than ASCII: LC_ALL, else LC_CTYPE, else LANG is `C` or `POSIX`.
    private static let isPlain = {
        let locale = (["LC_ALL", "LC_CTYPE", "LANG"] as [String]).compactMap { getenv($0).map { String(cString: $0) } }
            .first { !$0.isEmpty }
        return locale == "C" || locale == "POSIX"
    }()

    private static func shown(_ text: String) -> String { isPlain ? plain(text) : text }

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
        put(String(decoding: try JSONText.data(value), as: UTF8.self) + "\n", STDOUT_FILENO)
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

/// The beginning of a line, with a mark where something is left out.
func cut(_ line: String, to width: Int, mark: Character) -> String {
    // Nearly always it is short.
    guard line.utf8.count > width, line.count > width else { return line }
    return String(line.prefix(max(0, width - 1))) + String(mark)
}

/// The punctuation of messages in ASCII; other characters, which come from elsewhere, stay as they are.
func plain(_ text: String) -> String {
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text }
    return text.reduce(into: "") { plain, character in
        switch character {
        case "“", "”": plain += "\""
        case "‘", "’": plain += "'"
        case "…": plain += "..."
        case "–": plain += "-"
        default: plain.append(character)
        }
    }
}
