/// Whether a status says that the origin could not answer, rather than what the answer is: an old value is then kept
/// and served where that is allowed.
///
/// 500, 502, 503 and 504 (RFC 5861 §4), the other 5xx, and the statuses which say "not now": 408, 425 and 429.
public func isFailure(_ status: Int) -> Bool {
    status >= 500 || status == 408 || status == 425 || status == 429
}

/// Whether a response with this status may be stored without saying how long it is fresh (RFC 9110 §15.1).
/// Without 206: parts are not stored.
public func isHeuristicallyCacheable(_ status: Int) -> Bool {
    [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501].contains(status)
}

/// Whether this cache knows all that a status asks of a cache, for `must-understand` (RFC 9111 §5.2.2.3).
func isUnderstood(_ status: Int) -> Bool {
    switch status {
    case 200...205, 300...303, 305, 307, 308, 400...417, 421, 422, 426, 500...505: true
    default: false
    }
}

/// Whether the status says that what was asked for is gone, which is news of it and no failure: what is stored is out
/// of date (RFC 9111 §4.3.3; RFC 5861 §4 names no such status).
public func saysGone(_ status: Int) -> Bool {
    status == 404 || status == 410
}

/// Whether the status says who asks may not have it: an answer about the asker, not about the resource.
public func isRefusal(_ status: Int) -> Bool {
    status == 401 || status == 403 || status == 407
}

/// Whether the status says that the request as it was sent was wrong or could not be met, which is about its fields,
/// its body or the connection it came on, not about the address: such an answer kept for others would let anyone with a
/// header too many shut an address for all.
func isAboutTheMessage(_ status: Int) -> Bool {
    switch status {
    case 400, 406, 413, 415, 416, 417, 421, 426, 428, 431: true
    default: false
    }
}
