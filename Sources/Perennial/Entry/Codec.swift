#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// How values become bytes for the store, and values again.
public struct Codec<Value>: Sendable {
    /// Names the form of the bytes; kept with each entry. Bytes of another format go to the `migrate` hook.
    public let format: String
    public let encode: @Sendable (Value) throws -> [UInt8]
    public let decode: @Sendable ([UInt8]) throws -> Value
    /// How many bytes a value takes in memory, for the memory tier's limit; `nil`: about as many as when it is encoded.
    public let memorySize: (@Sendable (Value) -> Int)?
    /// Reads a value's validator out of the value, where it carries it, so that it is in memory once; `nil`: values don't.
    public let validator: (@Sendable (Value) -> Validator?)?

    public init(
        format: String,
        encode: @escaping @Sendable (Value) throws -> [UInt8],
        decode: @escaping @Sendable ([UInt8]) throws -> Value,
        memorySize: (@Sendable (Value) -> Int)? = nil,
        validator: (@Sendable (Value) -> Validator?)? = nil
    ) {
        self.format = format
        self.encode = encode
        self.decode = decode
        self.memorySize = memorySize
        self.validator = validator
    }
}

extension Codec where Value: Codable {
    /// JSON, through `JSONEncoder` and `JSONDecoder`.
    public static var json: Codec {
        Codec(
            format: "json",
            encode: { value in Array(try JSONEncoder().encode(value)) },
            decode: { bytes in try JSONDecoder().decode(Value.self, from: Data(bytes)) })
    }
}

/// Rescues bytes that the codec does not read: an older shape, another format.
/// Given the format they were saved in and the bytes; `nil` or an error: they can't be rescued, the entry counts as missing.
public typealias Migrate<Value> = @Sendable (_ format: String, _ bytes: [UInt8]) throws -> Value?
