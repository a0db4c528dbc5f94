/// The directives that rule a response in this cache (RFC 9213 §2.2).
///
/// A response may carry directives for some caches only, in fields of their own. The first of these that is there, can
/// be parsed and isn't empty rules alone; `Cache-Control` and `Expires` then count for nothing:
/// 1. `Perennial-Cache-Control`, for this cache;
/// 2. `CDN-Cache-Control`, for all caches that stand before an origin on its behalf.
///
/// Without them `Cache-Control` rules.
struct RulingDirectives {
    var directives: CacheControl
    /// Whether they come from a targeted field, beside which `Expires` counts for nothing.
    var isTargeted: Bool

    /// - Parameter fields: a response's.
    init(of fields: HeaderFields) {
        for name in targetList {
            guard let value = fields[name], let directives = CacheControl(targeted: value) else { continue }
            self.directives = directives
            isTargeted = true
            return
        }
        directives = CacheControl(fields)
        isTargeted = false
    }
}

/// The name of the targeted field that is for this cache alone.
public let ownTargetedField = "Perennial-Cache-Control"

/// From the most to the least applicable.
private let targetList = [ownTargetedField, "CDN-Cache-Control"]

extension CacheControl {
    /// Parses a targeted field: a structured dictionary, whose keys are in lower case (RFC 9213 §2.1).
    ///
    /// `nil` for what must be ignored as a whole: an empty value, one that can't be parsed, and one in which a
    /// directive known here has a value of a type it can't have, such as `max-age="60"` or `no-store=5`. A negative
    /// number of seconds is zero.
    init?(targeted value: String) {
        guard let members = structuredDictionary(value), !members.isEmpty else { return nil }
        self.init()
        for (key, value) in members {
            guard add(key, value) else { return nil }
        }
        dropRepeats()
    }

    /// - Returns: whether the value is of a type the directive can have; any is for one nobody knows.
    private mutating func add(_ directive: String, _ value: StructuredValue) -> Bool {
        switch directive {
        case "no-store": noStore = true
        case "public": isPublic = true
        case "no-transform": noTransform = true
        case "must-revalidate": mustRevalidate = true
        case "proxy-revalidate": proxyRevalidate = true
        case "must-understand": mustUnderstand = true
        case "immutable": immutable = true
        case "max-age": return set(\.maxAge, value)
        case "s-maxage": return set(\.sharedMaxAge, value)
        case "stale-while-revalidate": return set(\.staleWhileRevalidate, value)
        case "stale-if-error": return set(\.staleIfError, value)
        case "no-cache": return noCache.add(value)
        case "private": return onlyPrivate.add(value)
        default: return true
        }
        return value == .flag(true)
    }

    private mutating func set(_ seconds: WritableKeyPath<CacheControl, Duration?>, _ value: StructuredValue) -> Bool {
        guard case .integer(let number) = value else { return false }
        self[keyPath: seconds] = deltaSeconds(String(max(0, number)))
        return true
    }
}

extension CacheControl.Scope {
    fileprivate mutating func add(_ value: StructuredValue) -> Bool {
        switch value {
        case .flag(true): add(nil)
        case .string(let names), .token(let names): add(names)
        default: return false
        }
        return true
    }
}
