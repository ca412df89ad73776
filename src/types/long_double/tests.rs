//! Tests of the extended float; the tables were recorded from redis-server 7.0.15 on x86-64.

use super::*;
use proptest::prelude::*;

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    NotAFloat,
    Infinite,
}
use Refusal::{Infinite, NotAFloat};

/// `SET key a`, `INCRBYFLOAT key b`.
#[rustfmt::skip]
const SUMS: &[(&str, &str, Result<&str, Refusal>)] = &[
    ("0.1", "0.2", Ok("0.3")),
    ("1", "0.1", Ok("1.1")),
    ("10.5", "0.1", Ok("10.6")),
    ("5.0e3", "200", Ok("5200")),
    ("3", "-3", Ok("0")),
    ("0", "-0", Ok("0")),
    ("-0", "-0", Ok("0")),
    ("-0", "0", Ok("0")),
    ("0", "-1e-20", Ok("0")),
    ("0", "1e-17", Ok("0.00000000000000001")),
    ("0", "5e-18", Ok("0")),
    ("0", "4.99e-18", Ok("0")),
    ("0", "6e-18", Ok("0.00000000000000001")),
    ("0", "15e-18", Ok("0.00000000000000002")),
    ("0", "0.000000000000000005", Ok("0")),
    ("1", "1e-17", Ok("1.00000000000000001")),
    ("1", "1e-19", Ok("1")),
    ("1", "5.421010862427522170e-20", Ok("1")),
    ("1", "1.0842021724855044340e-19", Ok("1")),
    ("1", "-5.421010862427522170e-20", Ok("1")),
    ("18446744073709551615", "1", Ok("18446744073709551616")),
    ("18446744073709551615", "0", Ok("18446744073709551615")),
    ("18446744073709551616", "1", Ok("18446744073709551616")),
    ("18446744073709551617", "0", Ok("18446744073709551616")),
    ("36893488147419103233", "0", Ok("36893488147419103232")),
    ("9223372036854775807", "1", Ok("9223372036854775808")),
    ("-9223372036854775808", "-1", Ok("-9223372036854775809")),
    ("1e300", "1e300", Ok("2000000000000000000017994648159118387741047888546581495876520164642531293192361871511698304167500994380700745017228549671807185112369345967826192521041497292574654271283687306588168510215212033579453305864740061102765895241989080589545563779241212358535223254194821301134374772211380178849830208012288")),
    ("1e19", "0", Ok("10000000000000000000")),
    ("1e20", "0", Ok("100000000000000000000")),
    ("1e21", "0", Ok("1000000000000000000000")),
    ("123456789012345678901234567890", "0", Ok("123456789012345678899921813504")),
    ("0.123456789012345678901234567890", "0", Ok("0.12345678901234568")),
    ("3.14159265358979323846", "2.71828182845904523536", Ok("5.85987448204883847")),
    ("1e100", "-1e100", Ok("0")),
    ("1e30", "1", Ok("1000000000000000000024696061952")),
    ("0x10", "0x1p-3", Ok("16.125")),
    ("0X.8p4", "1", Ok("9")),
    ("-0x1.8", "0", Ok("-1.5")),
    ("+5", "+5", Ok("10")),
    ("007", "1", Ok("8")),
    ("1.", ".5", Ok("1.5")),
    ("1e5", "1e-5", Ok("100000.00001000000000317")),
    ("inf", "1", Err(Infinite)),
    ("1", "inf", Err(Infinite)),
    ("-inf", "inf", Err(Infinite)),
    ("1", "nan", Err(NotAFloat)),
    ("nan", "1", Err(NotAFloat)),
    ("Infinity", "-1", Err(Infinite)),
    ("1e4932", "1e4932", Err(Infinite)),
    ("1.18973149535723176502e4932", "1.18973149535723176502e4932", Err(Infinite)),
    ("1.18973149535723176506e4932", "0", Err(NotAFloat)),
    ("1.18973149535723176509e4932", "0", Err(NotAFloat)),
    ("1e4933", "0", Err(NotAFloat)),
    ("0", "1e-4950", Ok("0")),
    ("0", "3.6e-4951", Ok("0")),
    ("0", "1.9e-4951", Ok("0")),
    ("0", "1.8e-4951", Err(NotAFloat)),
    ("0", "1e-4952", Err(NotAFloat)),
    ("0", "1e-99999", Err(NotAFloat)),
    ("0", "0e99999999999", Ok("0")),
    ("0", "", Err(NotAFloat)),
    ("", "1", Err(NotAFloat)),
    (" 1", "1", Err(NotAFloat)),
    ("1 ", "1", Err(NotAFloat)),
    ("1", "1 ", Err(NotAFloat)),
    ("1", "1e", Err(NotAFloat)),
    ("1", "0x", Err(NotAFloat)),
    ("1", "abc", Err(NotAFloat)),
    ("0x1p16384", "0", Err(NotAFloat)),
    ("0x1p-16445", "0", Ok("0")),
    ("0x1p-16446", "0", Err(NotAFloat)),
    ("0x1.8p-16446", "0", Ok("0")),
    ("0x1.00000000000000010000000000001p0", "0", Ok("1")),
    ("0x1.0000000000000001p0", "-1", Ok("0")),
    ("0x1.0000000000000003p0", "-1", Ok("0")),
    ("0.5", "0.25", Ok("0.75")),
    ("2.5", "-0.000000000000001", Ok("2.499999999999999")),
    ("1e-17", "1e-17", Ok("0.00000000000000002")),
    ("99999999999999999.99999999999999999", "0", Ok("100000000000000000")),
    ("0.99999999999999999", "0", Ok("0.99999999999999999")),
    ("0.999999999999999999", "0", Ok("1")),
    ("0.999999999999999995", "0", Ok("1")),
    ("9.999999999999999999", "0", Ok("10")),
    ("1000000000000000000.5", "0", Ok("1000000000000000000.5")),
    ("4611686018427387904.5", "0", Ok("4611686018427387904.5")),
    ("4611686018427387904.25", "0.5", Ok("4611686018427387904.5")),
    ("1", "-1.00000000000000001", Ok("-0.00000000000000001")),
    ("0.00000000000000000000000000000000000000001", "0", Ok("0")),
    ("111111111111111111111111111111111111111111111111111111111111", "0", Ok("111111111111111111108621705771531345221163849678805956296704")),
    ("-652165480982557212.750476357633517326", "-8480.91", Ok("-652165480982565693.6875")),
    ("-7.82198875030833313412209397493e30", "-458077906433137e-29", Ok("-7821988750308333134238812471296")),
    ("3.124028019910958902664300191158e3", "-6766730261175167285", Ok("-6766730261175164161")),
    ("217516473804452e-25", "-1.212490145641543336865196475736e-12", Ok("0.00000000002053916")),
    ("8.108732535550544250685975680327e-17", "-9.831611633111880575610630138289e43", Ok("-98316116331118805757278115088239183693611008")),
    ("-292602663274728e19", "4.970420331970015612494131800408e-2", Ok("-2926026632747279999963594879926272")),
    ("-4720586066214327776", "-1.465476348228447836111304345377e32", Ok("-146547634822849504199319480172544")),
    ("-727758850474030386.482062793584805820", "0.5142818591304987", Ok("-727758850474030386")),
    ("0.8665404243612751", "-825213435924016e31", Ok("-8252134359240160000102797741811967416629985280")),
    ("0.740797452999610352387291759170e38", "4.847506987080647138389740141953e-17", Ok("74079745299961035239215657809910693888")),
    ("5333.52", "-2666216563233674862", Ok("-2666216563233669528.5")),
    ("-7.968026151262126506497607379466e11", "0.4767267591895883", Ok("-796802615125.7359238862991333")),
    ("118035269485232e-30", "-0.10162519810133808", Ok("-0.10162519810133796")),
    ("-2.540279011431855596052708421977e10", "8973733738937638733", Ok("8973733713534848618.5")),
    ("-6439372598213965825", "-0.6974032337671987", Ok("-6439372598213965825.5")),
    ("-9000847795971954198", "-5.158780654083166606112971775173e28", Ok("-51587806549832513859327361024")),
    ("1.701898291818802167254395926054e-19", "961274909379471e31", Ok("9612749093794710000210293347710612255067340800")),
    ("-101581326293981e10", "98.26", Ok("-1015813262939810000011264")),
    ("-8075102392426469242", "-5621.92", Ok("-8075102392426474864")),
    ("-752463157775451e3", "-9.203361549160659430746071862432e43", Ok("-92033615491606594307686150319185568966115328")),
    ("9900.89", "-941198944439246176.707973343289828124", Ok("-941198944439236275.8125")),
    ("428562595243933e-8", "-160296280016619505.141627450565197202", Ok("-160296280012333879.1875")),
    ("7803.49", "81753939416535e21", Ok("81753939416535000001365313859878912")),
    ("-667687681176073826.864315186111641523", "-389512164250769307.955605190051297186", Ok("-1057199845426843134.875")),
    ("301318696974158446", "0.9019711457494042", Ok("301318696974158446.90625")),
    ("1.358753790599292677958016975277e-14", "7531040935373703575", Ok("7531040935373703575")),
    ("-486274886780995306.624384377636780452", "0.999322895323700879560809503677e-1", Ok("-486274886780995306.53125")),
    ("0.6366658866507464", "-5040766695390132483", Ok("-5040766695390132482.5")),
    ("5.576734955255001006118330098268e8", "0.38504388340024676", Ok("557673495.91054398403503001")),
    ("864425664228983625.833709772436971271", "-814291715703388411.117779171118168064", Ok("50133948525595214.6875")),
    ("-0.059840035487619625", "112922741344948243.703584349248461685", Ok("112922741344948243.640625")),
    ("55.28", "7559053969443651849", Ok("7559053969443651904.5")),
    ("-5546578070581201774", "-0.1321498485038366", Ok("-5546578070581201774")),
    ("-679568076268262402", "-8715185419877771724", Ok("-9394753496146034126")),
    ("4.724634584629206830286821059060e35", "-2759494278672687382", Ok("472463458462920680260308046190739456")),
    ("7.951866391537068955341314074750e-12", "-6.306751078276572553983537586825e2", Ok("-630.67510782764930355")),
    ("-4718.65", "-0.41406669465956214", Ok("-4719.06406669465956183")),
    ("0.5273595688706214", "255192017137679153.961761355399194630", Ok("255192017137679154.5")),
    ("-0.8781909509000623", "7336343977526925040", Ok("7336343977526925039")),
    ("587067011393762173", "6.985608238035275714476938745741e-2", Ok("587067011393762173.0625")),
    ("-10.170324900689545855763533692245e-7", "632992174631735e-25", Ok("-0.00000101696919085")),
    ("-9.674893116231446755376985510117e36", "8522.62", Ok("-9674893116231446755159655018936664064")),
    ("-9.21939630935524758010898240249e-13", "4.431258568325289639493091512558e39", Ok("4431258568325289639619495835060475527168")),
    ("6.576558038747346408928470374051e40", "5.891131101724247349517719701150e41", Ok("654878690559898199036641296549980554657792")),
    ("290150987897214469.968453815459960703", "-61819639775724e-25", Ok("290150987897214469.96875")),
    ("-288476638992717e-31", "-1321918059965153159", Ok("-1321918059965153159")),
    ("0.3389442906197915", "8812.0", Ok("8812.33894429061979192")),
    ("0.8790093171018343", "-2468482616034684369", Ok("-2468482616034684368")),
    ("-683512433215711966.539262701838336991", "0.49336418438708973", Ok("-683512433215711966.0625")),
    ("-1647.95", "874498394986995e-12", Ok("-773.45160501300499994")),
];

/// Sums whose texts are too long to write out: their first digits, their length, their last digits.
#[rustfmt::skip]
const LONG_SUMS: &[(&str, &str, &str, usize, &str)] = &[
    ("1e4931", "1", "1000000000000000000006018949387963891323", 4932, "116314108653841811379188662272"),
    ("1.18973149535723176502e4932", "0", "1189731495357231765021263853030970205169", 4933, "444156604419552086811989770240"),
    ("0x1p16383", "0", "5948657476786158825428796633140035653817", 4932, "971576230223513645334982033408"),
];

fn increment(a: &str, b: &str) -> Result<String, Refusal> {
    let a = LongDouble::parse(a.as_bytes()).ok_or(NotAFloat)?;
    let b = LongDouble::parse(b.as_bytes()).ok_or(NotAFloat)?;
    let sum = a.plus(b);
    if sum.is_nan() || sum.is_infinite() { Err(Infinite) } else { Ok(sum.format()) }
}

fn read(text: &str) -> LongDouble {
    LongDouble::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text:?} is refused"))
}

#[test]
fn sums_as_recorded() {
    for (a, b, expected) in SUMS {
        let sum = increment(a, b);
        assert_eq!(sum.as_deref(), expected.as_ref().copied(), "{a:?} + {b:?}");
    }
}

#[test]
fn long_sums_as_recorded() {
    for (a, b, first, length, last) in LONG_SUMS {
        let sum = increment(a, b).unwrap_or_default();
        assert_eq!(
            (sum.len(), &sum[..first.len()], &sum[sum.len() - last.len()..]),
            (*length, *first, *last),
            "{a} + {b}"
        );
    }
}

#[test]
fn long_texts() {
    for (text, expected) in [
        ("0".repeat(5119), Some("0")),
        ("0".repeat(5120), None),
        (format!("1{}e-4900", "0".repeat(4900)), Some("1")),
        (format!("0.{}", "3".repeat(5000)), Some("0.33333333333333333")),
        (format!("0.{}1e5001", "0".repeat(5000)), Some("1")),
        (format!("0x{}p-1000", "1".repeat(5000)), None),
        (format!("0x1{}p-16000", "0".repeat(4000)), Some("1")),
        (format!("{}1", "0".repeat(5000)), Some("1")),
    ] {
        let read = LongDouble::parse(text.as_bytes()).map(LongDouble::format);
        assert_eq!(read.as_deref(), expected, "{}... of {}", &text[..10], text.len());
    }
}

#[test]
fn ties_and_edges_of_reading() {
    let one_more = LongDouble { negative: false, magnitude: finite((1 << 63) + 1, -63) };
    let largest = LongDouble { negative: false, magnitude: finite(u64::MAX, EXTENDED.exponent_max) };
    let smallest = LongDouble { negative: false, magnitude: finite(1, EXTENDED.exponent_min) };
    let smallest_normal = LongDouble { negative: false, magnitude: finite(1 << 63, EXTENDED.exponent_min) };
    for (text, expected) in [
        ("0x1.0000000000000001p0", read("1")),
        ("0x1.00000000000000011p0", one_more),
        ("0x1.0000000000000001000000000000000000000000000000001p0", one_more),
        ("0x1.0000000000000002p0", one_more),
        ("1.000000000000000000054210108624275221700372640043497085571289062500", read("1")),
        ("1.000000000000000000054210108624275221700372640043497085571289062501", one_more),
        ("1.00000000000000000010842021724855044340074528008699417114257812500", one_more),
        ("0xf.fffffffffffffffp16380", largest),
        ("1.18973149535723176502e4932", largest),
        ("0x1p-16445", smallest),
        ("0x1.0000000000000000000000000000000000000001p-16446", smallest),
        ("3.64519953188247460253e-4951", smallest),
        ("1.9e-4951", smallest),
        ("3.36210314311209350626e-4932", smallest_normal),
        ("0x1p-16382", smallest_normal),
        ("0x0.ffffffffffffffff8p-16382", smallest_normal),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn sums_at_the_edges() {
    let largest = read("0xf.fffffffffffffffp16380");
    let smallest = read("0x1p-16445");
    let smallest_normal = read("0x1p-16382");
    assert!(largest.plus(largest).is_infinite());
    assert!(largest.plus(read("0x1p16319")).is_infinite());
    assert_eq!(largest.plus(read("0x1p16318")), largest);
    assert_eq!(smallest.plus(smallest), read("0x1p-16444"));
    assert_eq!(smallest_normal.plus(read("-0x1p-16445")), read("0x0.fffffffffffffffep-16382"));
    assert_eq!(read("0x0.fffffffffffffffep-16382").plus(smallest), smallest_normal);
    assert_eq!(largest.plus(smallest), largest);
    assert_eq!(read("1").plus(read("-0x1p-65")), read("1"));
    assert_eq!(read("1").plus(read("-0x1.8p-65")), read("0x0.ffffffffffffffffp0"));
    assert_eq!(read("1").plus(read("-0x1.0000000000000002p-65")), read("0x0.ffffffffffffffffp0"));
    assert_eq!(read("1").plus(read("-0x1p-16445")), read("1"));
    assert_eq!(read("-0").plus(read("-0")), read("-0"));
    assert_eq!(read("-0").plus(read("0")), read("0"));
    assert_eq!(read("-5").plus(read("5")), read("0"));
    for (a, b, nan, infinite) in [
        ("inf", "-inf", true, false),
        ("-inf", "inf", true, false),
        ("inf", "inf", false, true),
        ("-inf", "-inf", false, true),
        ("1", "-inf", false, true),
    ] {
        let sum = read(a).plus(read(b));
        assert_eq!((sum.is_nan(), sum.is_infinite()), (nan, infinite), "{a} + {b}");
        assert_eq!(sum.plus(read("1")), sum);
    }
    assert_eq!(read("-INF").format(), "-inf");
}

/// `digits x 10^exponent` as a fraction, with no shortcut.
fn fraction(digits: u128, exponent: i32) -> (UBig, UBig) {
    let power = UBig::from(10u8).pow(exponent.unsigned_abs() as usize);
    if exponent >= 0 { (UBig::from(digits) * power, UBig::ONE) } else { (UBig::from(digits), power) }
}

/// Whether `value` is nearest to `numerator / denominator`: at most half of a last place away, and even if just that.
fn is_nearest(value: LongDouble, numerator: &UBig, denominator: &UBig) -> bool {
    let Magnitude::Finite { significand, exponent } = value.magnitude else { return false };
    // Everything times 2^(bits + 2): a last place is then `unit`, its half `unit / 2`.
    let shift = if exponent < 0 { exponent.unsigned_abs() as usize } else { 0 };
    let unit = if exponent < 0 { denominator.clone() } else { denominator.clone() << exponent as usize };
    let exact = (numerator.clone() << shift) * 2u8;
    let taken = UBig::from(significand) * &unit * 2u8;
    let off = if exact > taken { &exact - &taken } else { &taken - &exact };
    // Just above a power of two the places below are half as wide.
    let below_narrow = exact < taken && significand == 1 << 63 && i64::from(exponent) > EXTENDED.exponent_min;
    let off = if below_narrow { off * 2u8 } else { off };
    off < unit || (off == unit && significand & 1 == 0)
}

proptest! {
    #[test]
    fn reading_gives_the_nearest(digits in 1u128..10u128.pow(36), keep in 1u32..36, exponent in -60i32..60) {
        let digits = digits / 10u128.pow(36 - keep) + 1;
        let (numerator, denominator) = fraction(digits, exponent);
        let value = read(&format!("{digits}e{exponent}"));
        prop_assert!(is_nearest(value, &numerator, &denominator), "{}e{}: {:?}", digits, exponent, value);
    }

    #[test]
    fn reading_gives_the_nearest_far_out(digits in 1u128..10u128.pow(36), exponent in -4960i32..4895) {
        let text = format!("{digits}e{exponent}");
        let (numerator, denominator) = fraction(digits, exponent);
        let value = read(&text);
        prop_assert!(is_nearest(value, &numerator, &denominator), "{}: {:?}", text, value);
    }

    #[test]
    fn sums_are_the_nearest(
        a: u64, b: u64, a_exponent in -80i32..80, b_exponent in -80i32..80, a_negative: bool, b_negative: bool,
    ) {
        let sign = |negative: bool| if negative { "-" } else { "" };
        let sum = read(&format!("{}0x{a:x}p{a_exponent}", sign(a_negative)))
            .plus(read(&format!("{}0x{b:x}p{b_exponent}", sign(b_negative))));
        let (a, b) = (UBig::from(a) << (a_exponent + 80) as usize, UBig::from(b) << (b_exponent + 80) as usize);
        let (size, negative) = if a_negative == b_negative {
            (a + b, a_negative)
        } else if a >= b {
            (&a - &b, a > b && a_negative)
        } else {
            (b - a, b_negative)
        };
        prop_assert!(is_nearest(sum, &size, &(UBig::ONE << 80)), "{:?}", sum);
        prop_assert!(sum.negative == negative || size == UBig::ZERO);
    }

    #[test]
    fn texts_are_exactly_rounded(significand: u64, exponent in -140i32..70, negative: bool) {
        let value = rounded(Binary { negative, mantissa: significand.into(), exponent: exponent.into(), sticky: false });
        let (numerator, denominator) = if exponent < 0 {
            (UBig::from(significand) * UBig::from(10u8).pow(17), UBig::ONE << exponent.unsigned_abs() as usize)
        } else {
            ((UBig::from(significand) * UBig::from(10u8).pow(17)) << exponent as usize, UBig::ONE)
        };
        let (mut quotient, remainder) = (&numerator / &denominator, &numerator % &denominator);
        let twice = remainder * 2u8;
        if twice > denominator || (twice == denominator && quotient.bit(0)) {
            quotient += 1u8;
        }
        let digits = format!("{:0>18}", quotient.to_string());
        let (integer, fraction) = digits.split_at(digits.len() - 17);
        let text = format!("{integer}.{fraction}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let sign = if negative && text != "0" { "-" } else { "" };
        prop_assert_eq!(value.format(), format!("{sign}{text}"));
    }

    #[test]
    fn integers_are_exact(value: i64, other: i64) {
        prop_assert_eq!(LongDouble::from(value), read(&value.to_string()));
        prop_assert_eq!(LongDouble::from(value).format(), value.to_string());
        let sum = LongDouble::from(value).plus(LongDouble::from(other)).format();
        prop_assert_eq!(sum, (i128::from(value) + i128::from(other)).to_string());
    }

    #[test]
    fn no_bytes_make_it_panic(text: Vec<u8>, like in "[-+]?(0x)?[0-9a-fp.]{0,12}([ep][-+]?[0-9]{0,6})?") {
        for text in [text.as_slice(), like.as_bytes()] {
            if let Some(value) = LongDouble::parse(text) {
                value.plus(LongDouble::from(1)).format();
            }
        }
    }
}
