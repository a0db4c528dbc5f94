/// A store or a queue can't keep something, however often it is tried: a key that is too long for its index, a text that
/// its database can't hold. It says nothing of anything else in the engine, which goes on being used.
///
/// For a value that is too large there is ``SaveOutcome/notKept(_:)``.
public struct NotStorable: Error, Hashable, CustomStringConvertible {
    /// What can't be kept and why, in one line.
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
