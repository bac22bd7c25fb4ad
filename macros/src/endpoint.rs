//! `#[pleach::endpoint]`: the function stays as it is, and the program's table gets an entry for it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::{Error, FnArg, ItemFn, LitInt, LitStr, PatType, Result, ReturnType, Token, Type};

#[derive(Default)]
pub(crate) struct Options {
    name: Option<LitStr>,
    version: Option<LitInt>,
}

impl Options {
    pub(crate) fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let key: syn::Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "name" => options.name = Some(input.parse()?),
                "version" => options.version = Some(input.parse()?),
                _ => return Err(Error::new(key.span(), "expected `name = \"..\"` or `version = N`")),
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
    let arguments = arguments(function)?;
    check_arguments(&arguments)?;
    let ident = &function.sig.ident;
    let name = match &options.name {
        Some(name) => quote!(#name),
        None => quote!(concat!(module_path!(), "::", stringify!(#ident))),
    };
    let version = options.version.as_ref().map_or_else(|| quote!(1), |version| quote!(#version));
    let signature = text(function);
    let hash = fnv1a(&signature);
    let serve = serve(function, &arguments);
    Ok(quote! {
        #function
        const _: () = {
            use ::pleach::__private as private;
            #[private::linkme::distributed_slice(private::ENDPOINTS)]
            #[linkme(crate = ::pleach::__private::linkme)]
            static ENTRY: private::Entry = private::Entry {
                name: #name,
                signature: #signature,
                hash: #hash,
                version: #version,
                key: || private::key_of(&#ident),
                serve: #serve,
            };
        };
    })
}

fn check(function: &ItemFn) -> Result<()> {
    let sig = &function.sig;
    if sig.asyncness.is_none() {
        return Err(Error::new_spanned(sig.fn_token, "an endpoint is an `async fn`"));
    }
    if !sig.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &sig.generics,
            "an endpoint cannot be generic: another process finds it by its name alone; write one function per type",
        ));
    }
    if matches!(sig.output, ReturnType::Default) {
        return Err(Error::new_spanned(
            sig,
            "an endpoint returns `pleach::Result<..>`: its failure must have a way out",
        ));
    }
    Ok(())
}

fn arguments<'a>(function: &'a ItemFn) -> Result<Vec<&'a PatType>> {
    let typed = |argument: &'a FnArg| match argument {
        FnArg::Typed(typed) => Ok(typed),
        FnArg::Receiver(receiver) => {
            Err(Error::new_spanned(receiver, "an endpoint is a free function: another process has no `self` of it"))
        }
    };
    function.sig.inputs.iter().map(typed).collect()
}

/// What cannot come from another process, or not in this place, is said here, where there is a line to point at.
fn check_arguments(arguments: &[&PatType]) -> Result<()> {
    for (at, argument) in arguments.iter().enumerate() {
        if matches!(*argument.ty, Type::Reference(_)) {
            let text = "an argument of an endpoint is owned, it comes from another process: `String`, not `&str`";
            return Err(Error::new_spanned(&argument.ty, text));
        }
        if at > 0 && is_far(&argument.ty) {
            return Err(Error::new_spanned(&argument.ty, "the `Far` of an endpoint is its first argument"));
        }
    }
    Ok(())
}

fn is_far(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "Far")
}

/// Whether the first argument is the far end of a dialog.
fn takes_far(arguments: &[&PatType]) -> bool {
    arguments.first().is_some_and(|argument| is_far(&argument.ty))
}

fn serve(function: &ItemFn, arguments: &[&PatType]) -> TokenStream {
    let ident = &function.sig.ident;
    let dialog = takes_far(arguments);
    let rest = if dialog { &arguments[1..] } else { arguments };
    let types: Vec<_> = rest.iter().map(|argument| &argument.ty).collect();
    let names: Vec<_> = (0..rest.len()).map(|n| quote::format_ident!("a{n}")).collect();
    if dialog {
        quote!(|call| private::serve_dialog(call, |far, (#(#names,)*): (#(#types,)*)| #ident(far, #(#names),*)))
    } else {
        quote!(|call| private::serve_call(call, |(#(#names,)*): (#(#types,)*)| #ident(#(#names),*)))
    }
}

/// The signature without the names of the arguments: what must agree on both sides.
fn text(function: &ItemFn) -> String {
    let inputs = function.sig.inputs.iter().map(|argument| match argument {
        FnArg::Typed(typed) => type_text(&typed.ty),
        FnArg::Receiver(_) => "self".to_owned(),
    });
    let inputs: Vec<String> = inputs.collect();
    let output = match &function.sig.output {
        ReturnType::Default => "()".to_owned(),
        ReturnType::Type(_, ty) => type_text(ty),
    };
    format!("({}) -> {output}", inputs.join(", "))
}

fn type_text(ty: &Type) -> String {
    let mut text = quote!(#ty).to_string();
    for (spaced, tight) in [(" <", "<"), ("< ", "<"), (" >", ">"), (" ,", ","), (" ::", "::"), (":: ", "::")] {
        text = text.replace(spaced, tight);
    }
    text
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_signature_leaves_names_out() {
        let one: ItemFn = syn::parse_quote!(
            async fn f(far: Far<String, u64, u64>, n: u8) -> Result<Vec<u8>> {
                todo()
            }
        );
        let other: ItemFn = syn::parse_quote!(
            async fn g(x: Far<String, u64, u64>, y: u8) -> Result<Vec<u8>> {
                other()
            }
        );
        assert_eq!(text(&one), "(Far<String, u64, u64>, u8) -> Result<Vec<u8>>");
        assert_eq!(text(&one), text(&other));
    }

    #[test]
    fn what_cannot_be_an_endpoint_is_refused() {
        let refused = |function: ItemFn| expand(&Options::default(), &function).unwrap_err().to_string();
        assert!(
            refused(syn::parse_quote!(
                fn f() -> Result<()> {
                    x()
                }
            ))
            .contains("async fn")
        );
        assert!(
            refused(syn::parse_quote!(
                async fn f<T>(t: T) -> Result<()> {
                    x()
                }
            ))
            .contains("generic")
        );
        assert!(
            refused(syn::parse_quote!(
                async fn f(&self) -> Result<()> {
                    x()
                }
            ))
            .contains("free function")
        );
        assert!(
            refused(syn::parse_quote!(
                async fn f() {}
            ))
            .contains("returns")
        );
        assert!(
            refused(syn::parse_quote!(
                async fn f(s: &str) -> Result<()> {
                    x()
                }
            ))
            .contains("owned")
        );
        let second: ItemFn = syn::parse_quote!(
            async fn f(n: u8, far: Far<A, B, C>) -> Result<()> {
                x()
            }
        );
        assert!(refused(second).contains("first argument"));
    }
}
