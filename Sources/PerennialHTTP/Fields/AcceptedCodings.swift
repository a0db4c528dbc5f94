/// Which content codings a client takes, as far as origins choose among them (RFC 9110 §12.5.3).
///
/// Clients write `Accept-Encoding` in many ways that mean the same to an origin. What is stored is chosen by this, and
/// origins are sent ``fieldValue``, so that there are no more responses of an address than an origin would make.
/// Other codings, `deflate` among them, and weights above 0 count for nothing: an origin has its own order.
struct AcceptedCodings: OptionSet, Hashable {
    let rawValue: UInt8

    static let gzip = AcceptedCodings(rawValue: 1)
    static let brotli = AcceptedCodings(rawValue: 2)
    static let zstd = AcceptedCodings(rawValue: 4)
    /// It does not take what is not encoded at all (`identity;q=0`, or `*;q=0`).
    static let refusesPlain = AcceptedCodings(rawValue: 8)

    private static let names = [("gzip", gzip), ("br", brotli), ("zstd", zstd)]

    init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// - Parameter value: of `Accept-Encoding`; `nil`: the request has none, which servers take for one that is empty.
    init(_ value: String?) {
        self.init(rawValue: 0)
        guard let value else { return }
        var (named, refused): (AcceptedCodings, AcceptedCodings) = ([], [])
        var (takesPlain, takesRest): (Bool?, Bool?) = (nil, nil)
        for member in listMembers(value) {
            let parts = member.pieces(separatedBy: UInt8(ascii: ";"), keepingEmpty: true)
            let name = parts.first.map { $0.trimmed.lowercasedASCII } ?? ""
            let isTaken = !parts.dropFirst().contains(where: isZeroWeight)
            switch name {
            case "identity": takesPlain = isTaken && takesPlain != false
            case "*": takesRest = isTaken && takesRest != false
            default:
                // x-gzip is another name of gzip (§8.4.1.3).
                let usual = name == "x-gzip" ? "gzip" : name
                guard let coding = Self.names.first(where: { $0.0 == usual })?.1 else { continue }
                if isTaken { named.insert(coding) } else { refused.insert(coding) }
            }
        }
        if takesRest == true { named.formUnion([.gzip, .brotli, .zstd]) }
        formUnion(named.subtracting(refused))
        if !(takesPlain ?? takesRest ?? true) { insert(.refusesPlain) }
    }

    /// The one value of `Accept-Encoding` for all that mean this; empty for a client that takes no coding.
    var fieldValue: String {
        var members = Self.names.filter { contains($0.1) }.map(\.0)
        if contains(.refusesPlain) { members.append("identity;q=0") }
        return members.joined(separator: ", ")
    }

    /// Whether an answer that the origin did not encode for a client with these is for one with `others`, too: the
    /// origin had as much to choose from, or could have used gzip, which any that encodes at all knows.
    func coverPlain(_ others: AcceptedCodings) -> Bool {
        !others.contains(.refusesPlain) && (contains(.gzip) || subtracting(.refusesPlain).isSuperset(of: others))
    }

    /// What clients mostly send that take gzip: the most first.
    static let usual: [AcceptedCodings] = [[.gzip, .brotli, .zstd], [.gzip, .brotli], [.gzip]]
}

/// Whether a parameter is a weight of 0: `q=0`, `q=0.000`.
private func isZeroWeight(_ parameter: Substring) -> Bool {
    let parts = parameter.pieces(separatedBy: UInt8(ascii: "="), keepingEmpty: true).map(\.trimmed)
    guard parts.count == 2, parts[0].equalsIgnoringCase("q"), parts[1].bytes.first == UInt8(ascii: "0") else {
        return false
    }
    return parts[1].bytes.allSatisfy { $0 == UInt8(ascii: "0") || $0 == UInt8(ascii: ".") }
}

/// The fields of a request with `Accept-Encoding` in the form that stands for all which mean the same; a request
/// without it stays so.
public func withNormalisedCodings(_ request: HeaderFields) -> HeaderFields {
    guard let value = request.values(ofEach: ["accept-encoding"])[0] else { return request }
    let normal = AcceptedCodings(value).fieldValue
    var fields = request.removing { $0.name.equalsFolded("accept-encoding") }
    fields.add("Accept-Encoding", normal.isEmpty ? "identity" : normal)
    return fields
}

/// Requests like this one, but with each `Accept-Encoding` whose unencoded response could be for it: what is stored for
/// them is worth a look where nothing is stored for the request itself. None for one that refuses what is not encoded.
public func withUsualCodings(_ request: HeaderFields) -> [HeaderFields] {
    let own = AcceptedCodings(request.values(ofEach: ["accept-encoding"])[0])
    if own.contains(.refusesPlain) { return [] }
    return AcceptedCodings.usual.filter { $0 != own }.map { codings in
        var fields = request.removing { $0.name.equalsFolded("accept-encoding") }
        fields.add("Accept-Encoding", codings.fieldValue)
        return fields
    }
}
