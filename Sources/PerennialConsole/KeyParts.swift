import PerennialHTTP

/// A key taken apart: the address of an answer at its origin and, when the origin's answers vary, what chose this one.
struct KeyParts: Hashable {
    let url: String
    let variant: String?

    init(_ key: String) {
        let space = key.firstIndex(of: " ")
        url = String(key[..<(space ?? key.endIndex)])
        variant = space.map { String(key[key.index(after: $0)...]) }
    }
}

extension OriginURL {
    /// The origin of an absolute address, for example `https://api.example.com` for `https://api.example.com/users/1`.
    init(ofAddress address: String) throws(AddressError) {
        guard let scheme = address.firstRange(of: "://") else {
            try self.init(address)
            return
        }
        let end = address[scheme.upperBound...].firstIndex { "/?#".contains($0) } ?? address.endIndex
        try self.init(String(address[..<end]))
    }
}
