//! `#[pleach::test]`: an ordinary test whose body is the root of a tree.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::{Attribute, Error, Expr, ItemFn, LitStr, Result, ReturnType, Token};

/// How long a test may take that does not say it.
const BOUND_MS: u64 = 60_000;

#[derive(Default)]
pub(crate) struct Options {
    host: Option<Expr>,
    timeout: Option<LitStr>,
}

impl Options {
    pub(crate) fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let key: syn::Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "host" => options.host = Some(input.parse()?),
                "timeout" => options.timeout = Some(input.parse()?),
                _ => return Err(Error::new(key.span(), "expected `host = EXPRESSION` or `timeout = \"30s\"`")),
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

pub(crate) fn expand(options: &Options, function: &ItemFn) -> Result<TokenStream> {
    check(function)?;
    let ItemFn { attrs, vis, sig, block, .. } = function;
    let (ident, output) = (&sig.ident, &sig.output);
    let host = on_smol(options.host.as_ref());
    let bound = options.timeout.as_ref().map_or(Ok(BOUND_MS), milliseconds)?;
    let panics = should_panic(attrs);
    let (run, gives) = match panics.is_some() {
        true => (quote!(test_that_panics), quote!()),
        false => (quote!(test), quote!(-> ::pleach::Result<()>)),
    };
    if let (Some(attribute), ReturnType::Type(..)) = (panics, output) {
        return Err(Error::new_spanned(attribute, "a test that should panic returns nothing"));
    }
    Ok(quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #ident() #gives {
            async fn root() #output #block
            ::pleach::__private::#run(
                concat!(module_path!(), "::", stringify!(#ident)),
                #host,
                ::core::time::Duration::from_millis(#bound),
                root,
            )
        }
    })
}

/// The host that is asked for, else smol on one thread.
pub(crate) fn on_smol(host: Option<&Expr>) -> TokenStream {
    host.map_or_else(|| quote!(::pleach::host::Smol::one_thread()), |host| quote!(#host))
}

fn check(function: &ItemFn) -> Result<()> {
    let sig = &function.sig;
    if sig.asyncness.is_none() {
        return Err(Error::new_spanned(sig.fn_token, "`#[pleach::test]` goes on an `async fn`"));
    }
    if !sig.inputs.is_empty() || !sig.generics.params.is_empty() {
        return Err(Error::new_spanned(sig, "a test takes no arguments and is not generic"));
    }
    match function.attrs.iter().find(|attribute| attribute.path().is_ident("test")) {
        Some(twice) => Err(Error::new_spanned(twice, "`#[pleach::test]` makes it a test already: leave this line out")),
        None => Ok(()),
    }
}

fn should_panic(attributes: &[Attribute]) -> Option<&Attribute> {
    attributes.iter().find(|attribute| attribute.path().is_ident("should_panic"))
}

/// `500ms`, `30s` or `2min`.
fn milliseconds(text: &LitStr) -> Result<u64> {
    let value = text.value();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match &value[digits..] {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        _ => 0,
    };
    let length = value[..digits].parse::<u64>().ok().and_then(|count| count.checked_mul(unit));
    let wrong = || Error::new(text.span(), "expected a number above 0 and a unit: `500ms`, `30s` or `2min`");
    length.filter(|length| *length > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &str, function: &str) -> String {
        let options = syn::parse::Parser::parse_str(Options::parse, options);
        let function: ItemFn = syn::parse_str(function).unwrap();
        options.and_then(|options| expand(&options, &function)).unwrap_err().to_string()
    }

    #[test]
    fn a_timeout_is_a_number_and_a_unit() {
        let read = |text: &str| milliseconds(&syn::parse_str(&format!("{text:?}")).unwrap()).ok();
        assert_eq!([read("500ms"), read("30s"), read("2min")], [Some(500), Some(30_000), Some(120_000)]);
        for wrong in
            ["", "30", "s", "0s", "1.5s", "30 s", "30h", "-1s", "99999999999999999999s", "18446744073709551615s"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_a_test_is_refused() {
        assert!(refused("", "fn t() {}").contains("async fn"));
        assert!(refused("", "async fn t(n: u8) {}").contains("no arguments"));
        assert!(refused("", "async fn t<T>() {}").contains("not generic"));
        assert!(refused("", "#[test] async fn t() {}").contains("leave this line out"));
        assert!(refused("", "#[should_panic] async fn t() -> Result<()> { x() }").contains("returns nothing"));
        assert!(refused("retries = 3", "async fn t() {}").contains("`host = EXPRESSION`"));
        assert!(refused("timeout = \"soon\"", "async fn t() {}").contains("`30s`"));
    }
}
