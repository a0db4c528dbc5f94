/// Overwrites passwords in the arguments this process was started with, so that `ps` doesn't show them to everybody on
/// this machine. Call it once the arguments have been read.
func hidePasswordsInArguments() {
    for index in 0..<Int(CommandLine.argc) {
        guard let argument = CommandLine.unsafeArgv[index] else { continue }
        var length = 0
        while argument[length] != 0 { length += 1 }
        let bytes = (0..<length).map { UInt8(bitPattern: argument[$0]) }
        for range in passwordRanges(in: bytes) {
            for position in range { argument[position] = CChar(UInt8(ascii: "*")) }
        }
    }
}

/// Where the passwords of an engine's address are: behind the user's name, and in options that have `password` in their name.
func passwordRanges(in argument: [UInt8]) -> [Range<Int>] {
    guard let scheme = argument.firstRange(of: Array("://".utf8)) else { return [] }
    let question = argument[scheme.upperBound...].firstIndex(of: UInt8(ascii: "?")) ?? argument.endIndex
    let authority = argument[scheme.upperBound..<question]
    var ranges: [Range<Int>] = []
    if let at = authority.lastIndex(of: UInt8(ascii: "@")),
        let colon = authority[..<at].firstIndex(of: UInt8(ascii: ":"))
    {
        ranges.append(colon + 1..<at)
    }
    for option in argument[question...].dropFirst().split(separator: UInt8(ascii: "&")) {
        guard let equals = option.firstIndex(of: UInt8(ascii: "=")) else { continue }
        let name = String(decoding: option[..<equals], as: UTF8.self).lowercased()
        if name.contains("password") { ranges.append(equals + 1..<option.endIndex) }
    }
    return ranges
}
