internal import Perennial

/// The directives of a request's or a response's `Cache-Control` (RFC 9111 §5.2, RFC 5861).
///
/// Directives nobody knows are ignored. Of a repeated directive with a number the first counts; of `no-cache` and
/// `private` repeated, the one that forbids more (RFC 9111 §4.2.1).
public struct CacheControl: Hashable, Sendable {
    /// What a directive with optional field names covers.
    public enum Scope: Hashable, Sendable {
        /// The directive is not there.
        case nothing
        /// Only these fields, in lower case.
        case fields([String])
        /// The whole response.
        case everything
    }

    public var noStore = false
    public var noCache = Scope.nothing
    /// The directive `private`.
    public var onlyPrivate = Scope.nothing
    /// The directive `public`.
    public var isPublic = false
    public var noTransform = false
    public var mustRevalidate = false
    public var proxyRevalidate = false
    public var mustUnderstand = false
    public var immutable = false
    public var onlyIfCached = false
    /// Zero when it isn't a whole number of seconds: the response is stale.
    public var maxAge: Duration?
    /// The directive `s-maxage`. Zero when it isn't a whole number of seconds.
    public var sharedMaxAge: Duration?
    /// RFC 5861 §3. Zero when it isn't a whole number of seconds.
    public var staleWhileRevalidate: Duration?
    /// RFC 5861 §4. Zero when it isn't a whole number of seconds.
    public var staleIfError: Duration?
    /// `nil` also when it isn't a whole number of seconds.
    public var minFresh: Duration?
    /// `Duration.forever` when it names no number; `nil` also when that isn't a whole number of seconds.
    public var maxStale: Duration?

    public init() {}
}

extension CacheControl {
    /// Parses every `Cache-Control` line of a message.
    public init(_ fields: HeaderFields) {
        self.init()
        for line in fields.values(of: "Cache-Control") { add(line) }
        dropRepeats()
    }

    /// Parses one field value.
    public init(_ value: String) {
        self.init()
        add(value)
        dropRepeats()
    }

    /// What is left to do when all directives are added.
    mutating func dropRepeats() {
        noCache.dropRepeats()
        onlyPrivate.dropRepeats()
    }

    private mutating func add(_ line: String) {
        for member in listMembers(line) {
            guard let equals = member.bytes.firstIndex(of: UInt8(ascii: "=")) else {
                add(member.lowercasedASCII, argument: nil)
                continue
            }
            let argument = member[member.utf8.index(after: equals)...]
            add(member[..<equals].trimmed.lowercasedASCII, argument: unquoted(argument.trimmed))
        }
    }

    private mutating func add(_ directive: String, argument: String?) {
        func seconds() -> Duration { argument.flatMap(deltaSeconds) ?? .zero }
        switch directive {
        case "no-store": noStore = true
        case "no-cache": noCache.add(argument)
        case "private": onlyPrivate.add(argument)
        case "public": isPublic = true
        case "no-transform": noTransform = true
        case "must-revalidate": mustRevalidate = true
        case "proxy-revalidate": proxyRevalidate = true
        case "must-understand": mustUnderstand = true
        case "immutable": immutable = true
        case "only-if-cached": onlyIfCached = true
        case "max-age": maxAge = maxAge ?? seconds()
        case "s-maxage": sharedMaxAge = sharedMaxAge ?? seconds()
        case "stale-while-revalidate": staleWhileRevalidate = staleWhileRevalidate ?? seconds()
        case "stale-if-error": staleIfError = staleIfError ?? seconds()
        // Wishes that can't be read are none.
        case "min-fresh": minFresh = minFresh ?? argument.flatMap(deltaSeconds)
        case "max-stale": maxStale = maxStale ?? (argument.map { deltaSeconds($0) } ?? .forever)
        default: break
        }
    }
}

extension CacheControl.Scope {
    /// The fields this names; empty when it covers nothing or everything.
    public var fieldNames: [String] {
        if case .fields(let names) = self { names } else { [] }
    }

    /// Adds a directive with this argument. An argument that names no field covers everything.
    mutating func add(_ argument: String?) {
        let names = (argument ?? "").pieces(separatedBy: UInt8(ascii: ",")).map { $0.trimmed.lowercasedASCII }
            .filter { !$0.isEmpty }
        if self == .everything || names.isEmpty || !names.allSatisfy(\.isToken) {
            self = .everything
            return
        }
        var all = fieldNames
        // Nobody else holds the names now, so that those there are need not be copied for each directive.
        self = .nothing
        all += names
        self = .fields(all)
    }

    fileprivate mutating func dropRepeats() {
        guard case .fields(let names) = self, names.count > 1 else { return }
        var seen: Set<String> = []
        self = .fields(names.filter { seen.insert($0).inserted })
    }
}

/// A number of seconds: digits only. From 2³¹ on it is 2³¹ (RFC 9111 §1.2.2).
/// - Returns: `nil` for everything else: negative, broken, or no number at all.
func deltaSeconds(_ text: some StringProtocol) -> Duration? {
    guard !text.isEmpty, text.bytes.allSatisfy(\.isDigit) else { return nil }
    let most = Int64(1) << 31
    return .seconds(text.bytes.reduce(Int64(0)) { min(most, $0 * 10 + Int64($1 - UInt8(ascii: "0"))) })
}
