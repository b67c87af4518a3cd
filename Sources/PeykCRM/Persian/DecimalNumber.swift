/// A number as people type it, exactly: `mantissa × 10^−decimals`.
///
/// Takes Latin, Persian and Arabic digits. Group marks: comma, U+066C, U+060C, space, no-break space, one kind in
/// one number, each followed by exactly three digits. Decimal marks: point, U+066B, slash (as Iranians write it).
/// What could be read in two ways (`1.234,5`, `1,23`) is refused.
public struct DecimalNumber: Hashable, Sendable {
    public let mantissa: Int64
    /// 0 to 18.
    public let decimals: Int

    public enum Problem: Error, Hashable, Sendable, CustomStringConvertible {
        case notANumber(String)
        case ambiguous(String)
        case tooLarge(String)
        case tooManyDecimals(String, allowed: Int)

        public var description: String {
            switch self {
            case .notANumber(let text): "“\(text)” is not a number"
            case .ambiguous(let text): "“\(text)” can be read in two ways; write it without group marks"
            case .tooLarge(let text): "“\(text)” is too large"
            case .tooManyDecimals(let text, let allowed):
                allowed == 0
                    ? "“\(text)” has decimals where none are possible"
                    : "“\(text)” has more than \(allowed) decimals"
            }
        }
    }

    private enum Mark: Hashable { case group(UInt32), decimal }

    private static func mark(_ scalar: Unicode.Scalar) -> Mark? {
        switch scalar.value {
        case 0x2C, 0x066C, 0x060C, 0x20, 0xA0, 0x202F: .group(scalar.value)
        case 0x2E, 0x066B, 0x2F: .decimal
        default: nil
        }
    }

    public init(_ text: String) throws(Problem) {
        var scalars = text.unicodeScalars.filter { $0.value != 0x200E && $0.value != 0x200F }[...]
        while let first = scalars.first, first.properties.isWhitespace { scalars.removeFirst() }
        while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        var isNegative = false
        if let sign = scalars.first, sign == "-" || sign == "+" || sign.value == 0x2212 {
            isNegative = sign != "+"
            scalars.removeFirst()
        }
        guard scalars.contains(where: { Self.isDigit(Digits.latin($0)) }) else { throw .notANumber(text) }
        var digits: [UInt8] = []
        var groupMark: UInt32?
        var sinceMark = 0
        var fraction: Int?
        for scalar in scalars {
            let folded = Digits.latin(scalar)
            if Self.isDigit(folded) {
                digits.append(UInt8(folded.value - 0x30))
                sinceMark += 1
                if let count = fraction { fraction = count + 1 }
                continue
            }
            switch Self.mark(scalar) {
            case .group(let mark):
                guard fraction == nil, groupMark ?? mark == mark else { throw .ambiguous(text) }
                guard groupMark == nil ? (1...3).contains(sinceMark) : sinceMark == 3 else { throw .ambiguous(text) }
                groupMark = mark
                sinceMark = 0
            case .decimal:
                guard fraction == nil, sinceMark > 0, groupMark == nil || sinceMark == 3 else { throw .ambiguous(text) }
                fraction = 0
            case nil: throw .notANumber(text)
            }
        }
        guard fraction != nil || groupMark == nil || sinceMark == 3 else { throw .ambiguous(text) }
        guard fraction != 0 else { throw .notANumber(text) }
        guard let exact = Self.compute(digits, fraction ?? 0, isNegative) else { throw .tooLarge(text) }
        (mantissa, decimals) = exact
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { (0x30...0x39).contains(scalar.value) }

    private static func compute(_ digits: [UInt8], _ fraction: Int, _ isNegative: Bool) -> (Int64, Int)? {
        var digits = digits
        var decimals = fraction
        while decimals > 0, digits.last == 0 {
            digits.removeLast()
            decimals -= 1
        }
        guard decimals <= 18 else { return nil }
        var value: Int64 = 0
        for digit in digits {
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = shifted.subtractingReportingOverflow(Int64(digit))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        if isNegative { return (value, decimals) }
        guard value != .min else { return nil }
        return (-value, decimals)
    }

    /// The whole number; refused where it has decimals.
    public func integer() throws(Problem) -> Int64 { try scaled(by: 0) }

    /// The number of units of 10^−`scale`, times `factor`: 12.5 with scale 2 is 1250.
    public func scaled(by scale: Int, times factor: Int64 = 1) throws(Problem) -> Int64 {
        var value = mantissa
        var rest = decimals
        var factor = factor
        // Powers of ten of the factor first, so that 4.54 millions need no room for decimals.
        while rest > 0, factor != 0, factor % 10 == 0 {
            factor /= 10
            rest -= 1
        }
        guard rest <= scale else { throw .tooManyDecimals(text, allowed: scale) }
        for step in 0..<(scale - rest + 1) {
            let (product, overflow) = value.multipliedReportingOverflow(by: step == 0 ? factor : 10)
            guard !overflow else { throw .tooLarge(text) }
            value = product
        }
        return value
    }

    public var double: Double { Double(text) ?? 0 }

    /// The plain form: ASCII digits, a point.
    public var text: String {
        guard decimals > 0 else { return String(mantissa) }
        var digits = String(mantissa.magnitude)
        digits = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
        let cut = digits.index(digits.endIndex, offsetBy: -decimals)
        return (mantissa < 0 ? "-" : "") + digits[..<cut] + "." + digits[cut...]
    }
}
